# What Python serves HTTP with. Each server answers with the target that it saw, and says on standard output what it has seen: a line of
# JSON for each request, with its body in base64, and whether that came whole.
import base64
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

turn = threading.Lock()


def record(request_id, method, target, path, body, whole):
    line = json.dumps(
        {
            "id": request_id,
            "method": method,
            "target": target,
            "path": path,
            "body": base64.b64encode(body).decode(),
            "whole": whole,
        }
    )
    with turn:
        os.write(1, line.encode() + b"\n")


def answer(request_id, target):
    return json.dumps({"id": request_id, "target": target}).encode()


class Handler(BaseHTTPRequestHandler):
    """http.server leaves bodies to whoever uses it."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    # Which bodies it leaves unread.
    careless = "none"

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline(), 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b""):
                        pass
                    return body, True
                body += self.rfile.read(size)
                if self.rfile.readline() != b"\r\n":
                    return body, False
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        return body, len(body) == length

    def serve(self):
        usual = self.command in ("POST", "PUT", "PATCH")
        ignores = self.careless == "all" or (self.careless == "unusual" and not usual)
        try:
            body, whole = (b"", True) if ignores else self.read_body()
        except ValueError:
            body, whole = b"", False
        request_id = self.headers.get("X-Request-Id")
        record(request_id, self.command, self.path, self.path, body, whole)
        if not whole:
            self.close_connection = True
            return
        text = answer(request_id, self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = serve

    def send_error(self, code, message=None, explain=None):
        # A request that it cannot read, or a method that nobody has: it must not be invisible.
        record(None, getattr(self, "command", None), getattr(self, "path", None), str(code), b"", True)
        super().send_error(code, message, explain)

    def log_message(self, *_):
        pass


def wsgi(environ, start_response):
    target = environ["RAW_URI"]
    length = environ.get("CONTENT_LENGTH")
    try:
        body = environ["wsgi.input"].read()
        whole = not length or len(body) == int(length)
    except (OSError, ValueError):
        body, whole = b"", False
    request_id = environ.get("HTTP_X_REQUEST_ID")
    record(request_id, environ["REQUEST_METHOD"], target, environ["PATH_INFO"], body, whole)
    text = answer(request_id, target)
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return
    body = b""
    whole = True
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            whole = False
            break
        body += event.get("body", b"")
        more = event.get("more_body", False)
    request_id = next((value.decode() for name, value in scope["headers"] if name == b"x-request-id"), None)
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
    record(request_id, scope["method"], target, scope["path"], body, whole)
    if not whole:
        return
    text = answer(request_id, target)
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})


if __name__ == "__main__":
    Handler.careless = sys.argv[2] if len(sys.argv) > 2 else "none"
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
