#!/usr/bin/python3
"""A local Messages API: answers a scripted conversation, so that a real agent works whole turns without a network.

    messages_api.py --listen tcp:127.0.0.1:0 | unix:PATH | fd:N ... [--script FILE] [--record FILE] [--address FILE]
                    [--usage JSON] [--answers FILE]

The script is a JSON list of turns, each a list of content blocks. Which turn is answered follows from the request
alone (how many assistant messages it carries), so one server serves any number of conversations at once and a
resumed one goes on where it stopped. "{key}" in a string stands for the caller's API key: two tenants can be
given different work by one script. A request that offers no tools (a title, a summary) is answered with a word.
Every request is recorded as one JSON line: method, path, key, body. "--address" names a file that receives the
addresses once connections are accepted. "--usage" is what every message is said to have used. "--answers" names a
file that receives each answered message as one JSON line: the body asked with, the content type, the body answered.
"""

import argparse
import json
import os
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler

SCRIPT = [
    [
        {"type": "text", "text": "I will fix it."},
        {"type": "tool_use", "name": "Bash", "input": {"command": "echo 'made by {key}' > fixed.txt && cat fixed.txt"}},
    ],
    [{"type": "text", "text": "Done: fixed.txt made by {key}."}],
]
RECORD_LOCK = threading.Lock()


def filled(value, key):
    """`value` with "{key}" replaced in every string."""
    if isinstance(value, str):
        return value.replace("{key}", key)
    if isinstance(value, list):
        return [filled(item, key) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, key) for name, item in value.items()}
    return value


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script = SCRIPT
    record = None
    usage = {"input_tokens": 100, "output_tokens": 20}
    answers = None

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.reply({})

    def do_GET(self):
        self.note(None)
        if self.path.startswith("/v1/models"):
            model = {"type": "model", "id": "claude-test", "display_name": "Test", "created_at": "2025-01-01T00:00:00Z"}
            self.reply({"data": [model], "has_more": False, "first_id": model["id"], "last_id": model["id"]})
        else:
            self.refuse(404, "not_found_error", self.path)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw)
        except ValueError:
            self.note(None)
            return self.refuse(400, "invalid_request_error", "the body is not JSON")
        self.note(body)
        path = self.path.partition("?")[0]
        self.asked, self.answered = raw, b""
        if path == "/v1/messages/count_tokens":
            self.reply({"input_tokens": len(raw) // 4})
        elif path == "/v1/messages":
            self.message(body)
        else:
            self.refuse(404, "not_found_error", path)

    def key(self):
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key") or bearer

    def note(self, body):
        if self.record:
            line = {"method": self.command, "path": self.path, "key": self.key(), "body": body}
            with RECORD_LOCK, open(self.record, "a") as file:
                file.write(json.dumps(line) + "\n")

    def refuse(self, status, kind, message):
        self.reply({"type": "error", "error": {"type": kind, "message": message}}, status)

    def reply(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def message(self, body):
        turn = sum(1 for message in body.get("messages", []) if message.get("role") == "assistant")
        if not body.get("tools"):
            content = [{"type": "text", "text": "ok"}]
        elif turn < len(self.script):
            content = filled(self.script[turn], self.key())
        else:
            content = [{"type": "text", "text": "There is nothing left in the script."}]
        for index, block in enumerate(content):
            if block["type"] == "tool_use":
                block["id"] = f"toolu_{turn:04d}_{index:04d}"
        stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
        message = {
            "id": f"msg_{turn:04d}", "type": "message", "role": "assistant", "model": body.get("model", "claude-test"),
            "content": content, "stop_reason": stop, "stop_sequence": None,
            "usage": self.usage,
        }
        if body.get("stream"):
            self.stream(message)
            self.keep("text/event-stream")
        else:
            self.reply(message)
            self.answered = json.dumps(message).encode()
            self.keep("application/json")

    def keep(self, kind):
        if self.answers:
            line = {"asked": self.asked.decode(), "type": kind, "answered": self.answered.decode()}
            with RECORD_LOCK, open(self.answers, "a") as file:
                file.write(json.dumps(line) + "\n")

    def stream(self, message):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        opening = {**message, "content": [], "stop_reason": None, "usage": {**self.usage, "output_tokens": 1}}
        self.event("message_start", message=opening)
        for index, block in enumerate(message["content"]):
            if block["type"] == "text":
                start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
            else:
                start = {**block, "input": {}}
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            self.event("content_block_start", index=index, content_block=start)
            self.event("content_block_delta", index=index, delta=delta)
            self.event("content_block_stop", index=index)
        end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        self.event("message_delta", delta=end, usage={"output_tokens": self.usage["output_tokens"]})
        self.event("message_stop")
        self.chunk(b"")

    def event(self, name, **fields):
        self.chunk(f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode())

    def chunk(self, data):
        self.answered += data
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def __init__(self, listener):
        super().__init__(None, Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def listener(where):
    kind, _, address = where.partition(":")
    if kind == "fd":
        return socket.socket(fileno=int(address)), where
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX)
        made.bind(address)
        os.chmod(address, 0o666)
    elif kind == "tcp":
        host, _, port = address.rpartition(":")
        made = socket.create_server((host, int(port)))
        where = f"tcp:{host}:{made.getsockname()[1]}"
    else:
        sys.exit(f"messages_api: --listen: expected tcp:HOST:PORT, unix:PATH or fd:N, found {where}")
    made.listen(64)
    return made, where


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", action="append", required=True)
    parser.add_argument("--script")
    parser.add_argument("--record")
    parser.add_argument("--address")
    parser.add_argument("--usage", type=json.loads, default=Handler.usage)
    parser.add_argument("--answers")
    options = parser.parse_args()
    if options.script:
        with open(options.script) as file:
            Handler.script = json.load(file)
    Handler.record, Handler.usage, Handler.answers = options.record, options.usage, options.answers
    listeners = [listener(where) for where in options.listen]
    if options.address:
        with open(options.address + ".new", "w") as file:
            file.write("\n".join(where for _, where in listeners))
        os.rename(options.address + ".new", options.address)
    threads = [threading.Thread(target=Server(made).serve_forever) for made, _ in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
