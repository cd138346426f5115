"""Receivers of notifications on loopback: a web server and a mail server that keep what arrives, and answer as they are told."""

from __future__ import annotations

import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """A web server: `status` is what it answers next, `got` what was posted to it."""

    url: str = ""
    status: int = 204
    hold: threading.Event | None = None  # it answers only once this is set
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def hook() -> Iterator[Hook]:
    """A web server for as long as the block lasts."""
    its = Hook()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            its.got.append(({k.lower(): v for k, v in self.headers.items()}, self.rfile.read(length)))
            if its.hold is not None:
                its.hold.wait(20)
            self.send_response(its.status)
            if 300 <= its.status < 400:
                self.send_header("Location", its.url + "elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        its.url = f"http://127.0.0.1:{server.server_address[1]}/hook?of=tests"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield its
        if its.hold is not None:
            its.hold.set()
        server.shutdown()
        thread.join()


@dataclass
class Mailbox:
    """A mail server: `refuse` is what it says to every recipient, `got` the mail, `said` every command, `secure` in TLS."""

    port: int = 0
    refuse: str = ""
    goodbye: str | None = "221 bye"  # None: it says nothing and holds the line
    drags: float = 0.0  # seconds between the lines of an answer to RCPT that has no end
    tls: ssl.SSLContext | None = None
    got: list[EmailMessage] = field(default_factory=list)
    said: list[tuple[bool, str]] = field(default_factory=list)


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Mailbox]:
    """A mail server for as long as the block lasts; with `tls` it offers STARTTLS."""
    its = Mailbox(tls=tls)

    class Session(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")
            self.wfile.flush()

        def handle(self) -> None:
            secure = False
            self.say("220 here")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                word = line.split(" ")[0].upper()
                its.said.append((secure, line))
                if word == "EHLO":
                    if its.tls is not None and not secure:
                        self.say("250-here\r\n250-AUTH PLAIN\r\n250 STARTTLS")
                    else:
                        self.say("250-here\r\n250 AUTH PLAIN")
                elif word == "STARTTLS":
                    assert its.tls is not None
                    self.say("220 go on")
                    self.request = its.tls.wrap_socket(self.request, server_side=True)
                    self.rfile, self.wfile, secure = self.request.makefile("rb"), self.request.makefile("wb"), True
                elif word == "AUTH":
                    self.say("235 welcome")
                elif word == "RCPT" and its.drags:
                    for _ in range(100):
                        self.say("250-not yet")
                        time.sleep(its.drags)
                elif word == "RCPT" and its.refuse:
                    self.say(its.refuse)
                elif word == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) != b".\r\n":
                        lines.append(part.removeprefix(b".") if part.startswith(b"..") else part)
                    its.got.append(message_from_bytes(b"".join(lines), policy=policy.default))  # type: ignore[arg-type]
                    self.say("250 kept")
                elif word == "QUIT":
                    if its.goodbye is None:
                        time.sleep(3)
                        return
                    self.say(its.goodbye)
                    return
                else:
                    self.say("250 fine")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that hangs up

    with Server(("127.0.0.1", port), Session) as server:
        its.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield its
        server.shutdown()
        thread.join()
