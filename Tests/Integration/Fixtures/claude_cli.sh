#!/bin/sh
# Prints the path of the Claude Code CLI: CARREL_CLAUDE, or the one in the claude-agent-sdk package, fetched once from PyPI.
set -e
version=0.2.187
if [ -n "$CARREL_CLAUDE" ]; then
    echo "$CARREL_CLAUDE"
    exit
fi
place=${CARREL_TEST_CACHE:-/var/tmp/carrel-tests}/claude-agent-sdk-$version
if [ ! -x "$place/claude_agent_sdk/_bundled/claude" ]; then
    rm -rf "$place.$$"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
        --target "$place.$$" "claude-agent-sdk==$version" >&2
    mv "$place.$$" "$place"
fi
echo "$place/claude_agent_sdk/_bundled/claude"
