#!/usr/bin/python3
"""Writes shapes.jsonl: responses of the Messages API in many shapes, each with what it must be charged.

    make_shapes.py [PRICES] > shapes.jsonl

What is expected is reckoned here with fractions, from the price table alone, and knows nothing of the Swift code.
Needs the commands brotli and zstd. One JSON object a line: name, model, max_tokens, hour (the request has an hour's
cache mark), status, headers, body (base64), cut (the client went), and under "expect": nanodollars, tokens,
estimated, stop, tools (name and sha256 of the input), error, complete.
"""

import base64
import gzip
import hashlib
import json
import math
import os
import subprocess
import sys
import zlib
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))
PRICES = sys.argv[1] if len(sys.argv) > 1 else HERE + "/../../../Profiles/prices/anthropic.json"
with open(PRICES) as file:
    TABLE = json.load(file)
M = Fraction(1, 1_000_000)
OVERHEAD = TABLE["bounds"]["overhead-tokens"]


def money(value):
    return Fraction(str(value))


def sampling(model, usage):
    """Dollars for one sampling, before factors."""
    rates = TABLE["models"][model]
    written = usage.get("cache_creation_input_tokens", 0)
    hour = min(usage.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0), written)
    prompt = usage.get("input_tokens", 0) + written + usage.get("cache_read_input_tokens", 0)
    for tier in TABLE["models"][model].get("tiers", []):
        if prompt > tier["above"]:
            rates = tier
    return M * (
        usage.get("input_tokens", 0) * money(rates["input"])
        + usage.get("output_tokens", 0) * money(rates["output"])
        + (written - hour) * money(rates["cache-write-5m"])
        + hour * money(rates["cache-write-1h"])
        + usage.get("cache_read_input_tokens", 0) * money(rates["cache-read"])
    )


def factors(model, usage):
    factor = Fraction(1)
    if usage.get("speed") == "fast":
        factor *= money(TABLE["models"][model]["fast"])
    if usage.get("inference_geo") == "us":
        factor *= money(TABLE["modifiers"]["geo-us"])
    if usage.get("service_tier") == "batch":
        factor *= money(TABLE["modifiers"]["batch"])
    return factor


def tokens(usage):
    return sum(usage.get(name, 0) for name in (
        "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"))


def searches(usage):
    return (usage.get("server_tool_use") or {}).get("web_search_requests", 0)


def cost(model, usage):
    """Nanodollars and tokens for a whole usage."""
    iterations = usage.get("iterations") or []
    own = [entry for entry in iterations if entry["type"] in ("message", "fallback_message")]
    beside = [entry for entry in iterations if entry not in own]
    dollars = Fraction(0)
    count = 0
    for entry in own or [usage]:
        at = entry.get("model", model)
        dollars += sampling(at, entry) * factors(at, usage)
        count += tokens(entry)
    for entry in beside:
        at = entry.get("model", model)
        dollars += sampling(at, entry) * factors(at, usage)
        count += tokens(entry)
    dollars += searches(usage) * money(TABLE["modifiers"]["web-search"])
    return math.ceil(dollars * 10**9), count


def digest(value):
    return hashlib.sha256(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


SHAPES = []


def shape(name, body, *, model, nanodollars, count, estimated=False, stop="end_turn", tools=(), error=None, complete=True,
          status=200, kind="application/json", encoding=None, cut=False, max_tokens=1000, hour=False, headers=()):
    fields = [["content-type", kind]] + ([["content-encoding", encoding]] if encoding else []) + list(headers)
    SHAPES.append({
        "name": name, "model": model, "max_tokens": max_tokens, "hour": hour, "status": status, "headers": fields,
        "body": base64.b64encode(body).decode(), "cut": cut,
        "expect": {
            "nanodollars": nanodollars, "tokens": count, "estimated": estimated, "stop": stop,
            "tools": [[tool, value] for tool, value in tools], "error": error, "complete": complete,
        },
    })


def message(model, usage, content=None, stop="end_turn", **more):
    return {
        "id": "msg_01", "type": "message", "role": "assistant", "model": model,
        "content": content if content is not None else [{"type": "text", "text": "Hello \u00e9\U0001F600"}],
        "stop_reason": stop, "stop_sequence": None, "usage": usage, **more,
    }


def event(kind, newline="\n", **fields):
    data = json.dumps({"type": kind, **fields})
    return f"event: {kind}{newline}data: {data}{newline}{newline}".encode()


def stream(model, start, deltas, content=None, stop="end_turn", newline="\n", pings=0, final=True):
    """The events of a message; `deltas` are the usages of its message_delta events."""
    out = event("message_start", newline, message={**message(model, start, [], None)})
    for index, block in enumerate(content if content is not None else [{"type": "text", "text": "Hello there"}]):
        out += event("ping", newline) * pings
        if block["type"] == "text":
            out += event("content_block_start", newline, index=index, content_block={"type": "text", "text": ""})
            for word in block["text"].split(" "):
                out += event("content_block_delta", newline, index=index, delta={"type": "text_delta", "text": word})
        elif block["type"] == "thinking":
            out += event("content_block_start", newline, index=index, content_block={**block, "thinking": ""})
            out += event(
                "content_block_delta", newline, index=index, delta={"type": "thinking_delta", "thinking": block["thinking"]})
        else:
            out += event("content_block_start", newline, index=index, content_block={**block, "input": {}})
            text = json.dumps(block["input"])
            for at in range(0, len(text), 7):
                part = {"type": "input_json_delta", "partial_json": text[at:at + 7]}
                out += event("content_block_delta", newline, index=index, delta=part)
        out += event("content_block_stop", newline, index=index)
    for place, usage in enumerate(deltas):
        reason = stop if place == len(deltas) - 1 else None
        out += event("message_delta", newline, delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)
    return out + (event("message_stop", newline) if final else b"")


SSE = "text/event-stream; charset=utf-8"
PLAIN = {"input_tokens": 1234, "output_tokens": 567}
CACHED = {
    "input_tokens": 12, "output_tokens": 345, "cache_creation_input_tokens": 6789, "cache_read_input_tokens": 54321,
    "cache_creation": {"ephemeral_5m_input_tokens": 6000, "ephemeral_1h_input_tokens": 789},
    "service_tier": "standard", "inference_geo": "global", "server_tool_use": {"web_search_requests": 0},
}
MODELS = ["claude-opus-5-5", "claude-opus-5", "claude-fable-5-1", "claude-sonnet-5-5", "claude-sonnet-5",
          "claude-sonnet-4-5", "claude-haiku-5-5", "claude-haiku-4-5", "claude-opus-4-8", "claude-opus-4-5"]


def both(name, model, usage, content=None, tools=(), stop="end_turn", **more):
    """The same usage in a whole message and at the end of a stream."""
    nanodollars, count = cost(model, usage)
    shape(name + ", plain", json.dumps(message(model, usage, content, stop)).encode(), model=model,
          nanodollars=nanodollars, count=count, tools=tools, stop=stop, **more)
    start = {**usage, "output_tokens": 1}
    start.pop("iterations", None)
    start.pop("server_tool_use", None)
    end = {key: value for key, value in usage.items() if key in ("output_tokens", "iterations", "server_tool_use")}
    shape(name + ", streamed", stream(model, start, [end], content, stop), model=model, nanodollars=nanodollars,
          count=count, tools=tools, stop=stop, kind=SSE, **more)


for model in MODELS:
    both(f"{model}: tokens alone", model, PLAIN)
    both(f"{model}: everything cached", model, CACHED)
for model in MODELS[:3]:
    both(f"{model}: a date in its name", model, PLAIN)
    dated = model + "-20251101"
    nanodollars, count = cost(model, PLAIN)
    shape(f"{dated}: answers for {model}", json.dumps(message(dated, PLAIN)).encode(), model=model,
          nanodollars=nanodollars, count=count)

# Tiers of long prompts: the whole prompt counts, cached or not, and a hundred thousand is not above it.
for prompt in (99_999, 100_000, 100_001, 250_000):
    both(f"a prompt of {prompt}", "claude-haiku-5-5", {"input_tokens": prompt, "output_tokens": 10})
both("a prompt of 100001, most of it cached", "claude-haiku-5-5", {
    "input_tokens": 1, "output_tokens": 10, "cache_read_input_tokens": 90_000, "cache_creation_input_tokens": 10_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 10_000, "ephemeral_1h_input_tokens": 0}})

# Factors, alone and together.
for fast in (False, True):
    for geo in (None, "us", "global"):
        for tier in ("standard", "batch", "priority"):
            usage = {**CACHED, "speed": "fast" if fast else "standard", "service_tier": tier, "inference_geo": geo}
            if geo is None:
                usage.pop("inference_geo")
            both(f"fast {fast}, geo {geo}, tier {tier}", "claude-opus-5-5", usage)
both("seven searches", "claude-opus-5", {**PLAIN, "server_tool_use": {"web_search_requests": 7, "web_fetch_requests": 2}})
both("searches are not multiplied", "claude-opus-5", {
    **PLAIN, "inference_geo": "us", "server_tool_use": {"web_search_requests": 3}})

# Rounding: a single cached token at a rate with decimals, times 1.1.
both("one token of cache, 1.1 times", "claude-haiku-5-5", {
    "input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 1, "inference_geo": "us",
    "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 0}})
both("nothing at all", "claude-haiku-5-5", {"input_tokens": 0, "output_tokens": 0})

# Several samplings, each at its own model.
both("an advisor beside the message", "claude-sonnet-5", {**PLAIN, "iterations": [
    {"type": "message", "input_tokens": 1234, "output_tokens": 567},
    {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 5000, "output_tokens": 100}]})
both("a compaction before the message", "claude-opus-5", {**PLAIN, "iterations": [
    {"type": "compaction", "input_tokens": 150_000, "output_tokens": 3000},
    {"type": "message", "input_tokens": 1234, "output_tokens": 567}]})
both("two rounds, each below the tier", "claude-haiku-5-5", {
    "input_tokens": 160_000, "output_tokens": 20, "iterations": [
        {"type": "message", "input_tokens": 80_000, "output_tokens": 10, "cache_read_input_tokens": 0},
        {"type": "message", "input_tokens": 80_000, "output_tokens": 10, "cache_read_input_tokens": 0}]})
both("a fallback at another model", "claude-opus-5", {
    "input_tokens": 400, "output_tokens": 50, "iterations": [
        {"type": "message", "model": "claude-opus-5", "input_tokens": 200, "output_tokens": 5},
        {"type": "fallback_message", "model": "claude-sonnet-5", "input_tokens": 200, "output_tokens": 45}]})
both("an empty list of iterations", "claude-opus-5", {**PLAIN, "iterations": []})

# What streams do.
model = "claude-opus-5"
usage = {"input_tokens": 100, "output_tokens": 77, "cache_read_input_tokens": 2000}
nanodollars, count = cost(model, usage)
start = {"input_tokens": 100, "output_tokens": 3, "cache_read_input_tokens": 2000}


def streamed(name, body, **more):
    more = {"model": model, "nanodollars": nanodollars, "count": count, "kind": SSE, **more}
    shape(name, body, **more)


streamed("deltas are cumulative, the last counts", stream(model, start, [
    {"output_tokens": 20}, {"output_tokens": 50}, {"output_tokens": 77}]))
streamed("a delta tells the prompt again", stream(model, start, [
    {"input_tokens": 100, "cache_read_input_tokens": 2000, "output_tokens": 77}]))
streamed("a delta corrects the prompt", stream(model, {**start, "input_tokens": 90}, [
    {"input_tokens": 100, "output_tokens": 77}]))
streamed("a delta of zeros does not forget the prompt", stream(model, start, [
    {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 77}]))
streamed("a delta of nulls", stream(model, start, [
    {"input_tokens": None, "cache_read_input_tokens": None, "cache_creation": None, "server_tool_use": None,
     "iterations": None, "output_tokens": 77}]))
streamed("CR LF", stream(model, start, [{"output_tokens": 77}], newline="\r\n"))
streamed("CR alone", stream(model, start, [{"output_tokens": 77}], newline="\r"))
streamed("pings and comments", b": hello\n\n" + stream(model, start, [{"output_tokens": 77}], pings=3) + b":bye\n\n")
streamed("a byte order mark", b"\xef\xbb\xbf" + stream(model, start, [{"output_tokens": 77}]))
streamed("no blank behind the colon", stream(model, start, [{"output_tokens": 77}]).replace(b"data: ", b"data:"))
streamed("no event names", b"\n".join(
    line for line in stream(model, start, [{"output_tokens": 77}]).split(b"\n") if not line.startswith(b"event:")))
streamed("data over several lines", stream(model, start, [{"output_tokens": 77}]).replace(b', "usage"', b',\ndata: "usage"'))
streamed("fields that nobody knows", b"id: 7\nretry: 10\ndatax: {\ndat: }\n\n" + stream(
    model, start, [{"output_tokens": 77}]))
streamed("no blank line at the end", stream(model, start, [{"output_tokens": 77}])[:-2])
streamed("no message_stop", stream(model, start, [{"output_tokens": 77}], final=False))
streamed("the client went after the last delta", stream(model, start, [{"output_tokens": 77}], final=False), cut=True)
streamed("thinking", stream(model, start, [{"output_tokens": 77}], [
    {"type": "thinking", "thinking": "\"output_tokens\": 999999, \\u0000 }", "signature": "x" * 500},
    {"type": "text", "text": 'data: {"type":"message_delta","usage":{"output_tokens":1}}\n\n'}]))
streamed("text that looks like usage", stream(model, start, [{"output_tokens": 77}], [
    {"type": "text", "text": '"usage": {"output_tokens": 5} \\" \u2028 \n\ndata: {}'}]))
streamed("unknown events and members", event("future", usage={"output_tokens": 1 << 40}) + stream(
    model, {**start, "output_tokens_details": {"input_tokens": 5}, "future": [1, {"output_tokens": 9}]},
    [{"output_tokens": 77, "future": {"input_tokens": 3}}]))

# Tool calls.
call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {
    "command": "echo 'a\"b\\c' > /tmp/\u00e9\U0001F600\n", "n": [1, -2.5, 1e10, True, None, {}, []], "z": {"y": "\u007f\u2028\u0001"}}}
second = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "weather"}}
none = {"type": "tool_use", "id": "toolu_2", "name": "Stop", "input": {}}
both("tool calls", model, PLAIN, [{"type": "text", "text": "I will."}, call, second, none],
     [(item["name"], digest(item["input"])) for item in (call, second, none)], "tool_use")
both("a tool of many calls", model, PLAIN, [call] * 30, [("Bash", digest(call["input"]))] * 30, "tool_use")
streamed("an input that is in the block's start", event("message_start", message=message(model, start, [], None)) + event(
    "content_block_start", index=0, content_block=call) + event("content_block_stop", index=0) + event(
    "message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 77}) + event("message_stop"),
    tools=[("Bash", digest(call["input"]))], stop="tool_use")
whole = stream(model, start, [{"output_tokens": 77}], [call], "tool_use")
streamed("a call cut in its input", whole[:whole.index(b"content_block_stop")], cut=True, stop=None, complete=False,
         tools=[("Bash", None)], estimated=True, nanodollars=cost(model, {**usage, "output_tokens": 1000})[0],
         count=3100)

# Ends that come early.
whole = stream(model, start, [{"output_tokens": 77}])
worst, most = cost(model, {**usage, "output_tokens": 1000})
for place, mark in [("message_start", b"event: content_block_start"), ("the first text", b"event: content_block_stop"),
                    ("the last text", b"event: message_delta")]:
    for cut in (True, False):
        streamed(f"it ends after {place}, cut {cut}", whole[:whole.index(mark)], cut=cut, estimated=True, stop=None,
                 nanodollars=worst, count=most, complete=False)
streamed("an error in the middle", whole[:whole.index(b"event: content_block_stop")] + event(
    "error", error={"type": "overloaded_error", "message": "Overloaded"}), estimated=True, stop=None, nanodollars=worst,
    count=most, complete=False, error="overloaded_error")
streamed("an error at the start", event("error", error={"type": "overloaded_error", "message": "Overloaded"}), stop=None,
         nanodollars=0, count=0, complete=False, error="overloaded_error")
for status in (400, 401, 402, 403, 404, 413, 429, 500, 503, 529):
    body = json.dumps({"type": "error", "error": {"type": f"error_{status}", "message": "x"}, "request_id": "r"})
    shape(f"status {status}", body.encode(), model=model, status=status, nanodollars=0, count=0, stop=None,
          error=f"error_{status}", complete=True)
shape("status 502 in HTML", b"<html>", model=model, status=502, kind="text/html", nanodollars=0, count=0, stop=None,
      complete=False)

# Encodings.
body = stream(model, start, [{"output_tokens": 77}], [call, {"type": "text", "text": "word " * 300}], "tool_use")
squeeze = zlib.compressobj(wbits=-15)
for encoding, data in [
        ("gzip", gzip.compress(body, mtime=0)), ("x-gzip", gzip.compress(body, mtime=0)), ("deflate", zlib.compress(body)),
        ("deflate", squeeze.compress(body) + squeeze.flush()),
        ("gzip", gzip.compress(body[:500], mtime=0) + gzip.compress(body[500:], mtime=0)),
        ("br", subprocess.run(["brotli", "-c"], input=body, capture_output=True, check=True).stdout),
        ("zstd", subprocess.run(["zstd", "-c"], input=body, capture_output=True, check=True).stdout),
        ("identity", body), ("gzip, br", subprocess.run(
            ["brotli", "-c"], input=gzip.compress(body, mtime=0), capture_output=True, check=True).stdout)]:
    streamed(f"{encoding} of {len(data)} bytes", data, encoding=encoding, stop="tool_use",
             tools=[("Bash", digest(call["input"]))])
data = gzip.compress(json.dumps(message(model, usage)).encode(), mtime=0)
shape("gzip of a whole message", data, model=model, nanodollars=nanodollars, count=count, encoding="gzip")
streamed("gzip cut after message_start", gzip.compress(b"", mtime=0) + (
    lambda made: made.compress(whole[:whole.index(b"event: content_block_start")]) + made.flush(zlib.Z_SYNC_FLUSH))(zlib.compressobj(wbits=31)), encoding="gzip",
    cut=True, estimated=True, stop=None, nanodollars=worst, count=most, complete=False)

# Much text.
large = {"type": "text", "text": "lorem \u00e9 ipsum \"dolor\" " * 300}
both("a long text", model, PLAIN, [large])
# Usage before and behind the content, and a name that stands twice.
reordered = {"usage": PLAIN, "type": "message", "model": model, "content": [{"input": call["input"], "name": "Bash",
             "type": "tool_use"}], "stop_reason": "tool_use"}
shape("members in another order", json.dumps(reordered).encode(), model=model, nanodollars=cost(model, PLAIN)[0],
      count=tokens(PLAIN), stop="tool_use", tools=[("Bash", digest(call["input"]))])
shape("blanks everywhere", json.dumps(message(model, PLAIN, [call], "tool_use"), indent=3).encode() + b"\n\n", model=model,
      nanodollars=cost(model, PLAIN)[0], count=tokens(PLAIN), stop="tool_use", tools=[("Bash", digest(call["input"]))])
# Writes whose life nobody tells, for a request with a mark of an hour: never less than the truth.
hourly = {"input_tokens": 5, "output_tokens": 5, "cache_creation_input_tokens": 1000}
rates = TABLE["models"][model]
shape("writes without a life, a mark of an hour", json.dumps(message(model, hourly)).encode(), model=model, hour=True,
      nanodollars=5000 * rates["input"] + 5000 * rates["output"] + 1_000_000 * rates["cache-write-1h"], count=1010)
shape("writes without a life, no mark of an hour", json.dumps(message(model, hourly)).encode(), model=model,
      nanodollars=int(5000 * rates["input"] + 5000 * rates["output"] + 1_000_000 * rates["cache-write-5m"]), count=1010)

for entry in SHAPES:
    print(json.dumps(entry))
