"""A server that claims to be a cluster: writes down everything that joining machines tell it.

`python false_server.py PORT RECORD [CA]`: serves CA, or a certificate of its own making, as the
cluster's. RECORD gets every byte that came in through TLS.
"""

import http.server
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from cuberoot.pki import new_ca, new_cert
from cuberoot.program import Identity


class Spy(http.server.BaseHTTPRequestHandler):
    ca: ClassVar[bytes]
    record: ClassVar[Path]

    def do_GET(self) -> None:
        self._note(b"")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.ca)

    def do_POST(self) -> None:
        self._note(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _note(self, body: bytes) -> None:
        with self.record.open("ab") as file:
            file.write(f"{self.requestline}\n{self.headers}\n".encode() + body)


def main(port: int, record: Path, ca_file: Path | None) -> None:
    now = datetime.now(UTC)
    own = new_ca("a false cluster", now)
    Spy.record, Spy.ca = record, ca_file.read_bytes() if ca_file else own.cert
    addresses = ("127.0.0.1",)
    signed = new_cert(Identity("false", (), ("localhost",), addresses, is_server=True), own, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        pem = Path(folder, "pem")
        pem.write_bytes(signed.cert + signed.key)
        context.load_cert_chain(pem)
    server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Spy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    record.write_bytes(b"")
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
