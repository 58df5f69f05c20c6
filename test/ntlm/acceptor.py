"""A server that speaks NTLM by pyspnego: it knows the users of NTLM_USER_FILE, and each connection by itself."""

import base64
import http.server

import spnego


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    context = None
    who = None

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        scheme, _, text = (self.headers.get("authorization") or "").partition(" ")
        reply = None
        if scheme == "NTLM":
            message = base64.b64decode(text)
            if message[8] == 1:
                self.who = None
                self.context = spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
            try:
                reply = self.context.step(message)
                if self.context.complete:
                    self.who, reply = self.context.client_principal, None
            except spnego.exceptions.SpnegoError:
                self.context = None
        challenge = "NTLM" if reply is None else "NTLM " + base64.b64encode(reply).decode()
        told = f"{self.who} {self.command} {len(body)} {scheme}".encode() if self.who else b"who are you"
        self.send_response(200 if self.who else 401)
        if not self.who:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
