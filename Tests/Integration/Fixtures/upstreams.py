#!/usr/bin/python3
"""Every upstream that a session's clients ask in the tests, on one port of the loopback, behind TLS of an authority of its own.

    upstreams.py DIRECTORY [--script FILE]

Makes DIRECTORY/ca.pem, listens on a port that DIRECTORY/port then holds, and records every request in
DIRECTORY/requests.jsonl: host, method, path, the names and values of its headers, and the body's length.

    api.anthropic.com        the Messages API of messages_api.py
    pypi.org, files.pythonhosted.org   an index with one wheel, carrel-proof
    registry.npmjs.org       one package, left-pad
    github.com               git http-backend over the repositories in DIRECTORY/repositories
    example.com              text, an echo of the request, a redirect, and as many bytes as /bytes/N says
"""

import base64
import hashlib
import io
import json
import os
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile

from messages_api import Handler as MessagesHandler
from messages_api import Server

NAMES = [
    "api.anthropic.com", "pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "github.com", "example.com",
    "www.example.org",
]
place = sys.argv[1]
LOCK = threading.Lock()


def make_certificates():
    """An authority and a certificate of all names, by openssl(1)."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=place, check=True, stderr=subprocess.DEVNULL)
    names = ",".join("DNS:" + name for name in NAMES)
    with open(place + "/leaf.ext", "w") as file:
        file.write(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Upstreams of the tests",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-new", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=upstream")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "leaf.ext", "-out", "leaf.pem")


def wheel():
    """A wheel with one module."""
    made = io.BytesIO()
    files = {
        "carrel_proof.py": "ANSWER = 'installed through the gateway'\n",
        "carrel_proof-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: carrel-proof\nVersion: 1.0\n",
        "carrel_proof-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for name, text in files.items())
    files["carrel_proof-1.0.dist-info/RECORD"] = record + "carrel_proof-1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


def tarball():
    """A package of npm."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in {
            "package/package.json": json.dumps({"name": "left-pad", "version": "1.3.0", "main": "index.js"}),
            "package/index.js": "module.exports = (text, width) => String(text).padStart(width);\n",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


WHEEL, TARBALL = wheel(), tarball()


class Handler(MessagesHandler):
    def dispatch(self):
        self.host = (self.headers.get("host") or "").partition(":")[0]
        line = {
            "host": self.host, "method": self.command, "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
        }
        with LOCK, open(place + "/requests.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self.host == "api.anthropic.com":
            return getattr(super(), "do_" + self.command)()
        self.body = self.read_body()
        name = {
            "pypi.org": self.pypi, "files.pythonhosted.org": self.pypi, "registry.npmjs.org": self.npm,
            "github.com": self.git,
        }.get(self.host, self.example)
        name()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = dispatch

    def read_body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def send(self, data, kind="text/plain", status=200, headers=()):
        data = data if isinstance(data, bytes) else data.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def pypi(self):
        if self.path.startswith("/simple/carrel-proof"):
            digest = hashlib.sha256(WHEEL).hexdigest()
            link = "https://files.pythonhosted.org/packages/1/2/3/carrel_proof-1.0-py3-none-any.whl"
            self.send(f'<html><a href="{link}#sha256={digest}">carrel_proof-1.0-py3-none-any.whl</a></html>', "text/html")
        elif self.path.endswith(".whl"):
            self.send(WHEEL, "application/octet-stream")
        else:
            self.send("no such package", status=404)

    def npm(self):
        if self.path == "/left-pad":
            link = "https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz"
            digest = "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()
            version = {"name": "left-pad", "version": "1.3.0", "dist": {"tarball": link, "integrity": digest}}
            document = {"name": "left-pad", "dist-tags": {"latest": "1.3.0"}, "versions": {"1.3.0": version}}
            self.send(json.dumps(document), "application/json")
        elif self.path.endswith(".tgz"):
            self.send(TARBALL, "application/octet-stream")
        else:
            self.send("{}", "application/json", 404)

    def git(self):
        path, _, query = self.path.partition("?")
        environment = {
            "GIT_PROJECT_ROOT": place + "/repositories", "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(self.body)), "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""), "REMOTE_USER": "operator", "REMOTE_ADDR": "127.0.0.1",
            "PATH": os.environ["PATH"], "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*", "GIT_CONFIG_KEY_1": "http.receivepack", "GIT_CONFIG_VALUE_1": "true",
        }
        answer = subprocess.run(["git", "http-backend"], input=self.body, env=environment, capture_output=True).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        kind = next((value for name, value in headers if name.lower() == "content-type"), "text/plain")
        self.send(body, kind, status)

    def example(self):
        path = self.path.partition("?")[0]
        if path.startswith("/bytes/"):
            self.send(b"x" * int(path[7:]))
        elif path == "/redirect":
            self.send("", status=302, headers=[("location", "https://evil.test/")])
        elif path == "/echo":
            echo = {"headers": dict(self.headers.items()), "body": self.body.decode(errors="replace")}
            self.send(json.dumps(echo), "application/json")
        else:
            self.send(f"{self.host} says hello\n")


class TLSServer(Server):
    request_queue_size = 128
    context = None

    def finish_request(self, request, client_address):
        with self.context.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass


def main():
    import socket
    make_certificates()
    TLSServer.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    TLSServer.context.load_cert_chain(place + "/leaf.pem", place + "/leaf.key")
    if "--script" in sys.argv:
        with open(sys.argv[sys.argv.index("--script") + 1]) as file:
            MessagesHandler.script = json.load(file)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = TLSServer(listener)
    server.RequestHandlerClass = Handler
    with open(place + "/port.new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(place + "/port.new", place + "/port")
    server.serve_forever()


main()
