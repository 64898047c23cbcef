"""`cubectl serverless page`: the live page on this machine, with the administrator's certificate.

A browser has no certificate of the cluster. So the page is answered here, and what it asks is asked
there: reading alone, and only for a browser that names this place as its host.
"""

import re
from argparse import ArgumentParser, Namespace
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cubectl.connection.transport import Unreachable
from cubectl.functions.way import admin_of
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb

# What may be asked: the page, and what it shows.
PATHS = re.compile(r"/(state|runs/[A-Za-z0-9%-]{1,200}|calls/[A-Za-z0-9%-]{1,200}/trace)?\Z")
_PLACE = re.compile(r"([A-Za-z0-9.-]+):([0-9]{1,5})\Z")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("page",))
    parser.add_argument(
        "--listen", default="127.0.0.1:6812", metavar="HOST:PORT", help="where browsers ask"
    )
    parser.add_argument(
        "--at", default="", metavar="HOST:PORT", help="of serverless, if not beside the API server"
    )


def run(options: Namespace, session: Session) -> None:
    found = _PLACE.match(options.listen)
    if found is None or int(found[2]) > 65535:
        raise Misused(f"--listen {options.listen!r}: write HOST:PORT")
    handler = _handler(options, session, found[1])
    try:
        server = ThreadingHTTPServer((found[1], int(found[2])), handler)
    except OSError as error:
        raise Failed(f"{options.listen}: {error}") from error
    server.daemon_threads = True
    with server:
        session.say(f"http://{found[1]}:{server.server_port}/ shows the functions; Ctrl-C ends it")
        session.out.flush()
        server.serve_forever()


def _handler(options: Namespace, session: Session, host: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers one browser's connection."""

        timeout = 30

        def do_GET(self) -> None:
            """Ask the functions' program what a browser asks."""
            named = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
            if host != "0.0.0.0" and named not in (host, "localhost"):  # noqa: S104  a comparison
                # Another name may lead here: a page of somebody else's would be asking.
                self._say(403, b"ask by the address that cubectl has printed\n", "text/plain", {})
                return
            if PATHS.match(self.path) is None:
                self._say(404, b"there is no such page\n", "text/plain", {})
                return
            try:
                with closing(admin_of(options, session)) as admin:
                    answer = admin.send("GET", self.path, accept="*/*")
            except Unreachable as error:
                self._say(502, f"{error}\n".encode(), "text/plain", {})
                return
            is_page = self.path == "/"
            media = "text/html; charset=utf-8" if is_page else "application/json"
            self._say(answer.status, answer.body, media, {"X-Content-Type-Options": "nosniff"})

        def _say(self, status: int, body: bytes, media: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            told = {"Content-Type": media, "Cache-Control": "no-store", **headers}
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing: what browsers ask is no news."""

    return Handler


VERB = Verb(configure, run)
