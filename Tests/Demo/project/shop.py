"""A shop's till, with a bug that a test finds."""


def total(prices):
    result = 0
    for price in prices:
        result = price
    return result
