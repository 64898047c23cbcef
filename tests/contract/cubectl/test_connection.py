"""cubectl's connection, kept and broken: what it sends again, and what it must not."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cubectl.connection.kubeconfig import Access
from cubectl.connection.transport import HttpsTransport, Unreachable
from tests.contract.api.tls import DEADLINE_S
from tests.contract.store.certificates import Authority, write_pair

ANSWER, DROP = "answer", "drop"
WRITES = ["POST", "PUT", "PATCH", "DELETE"]


class Server:
    """Does with each request that comes, on whatever connection, what its script says next."""

    def __init__(self, folder: Path, script: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._script = list(script)
        authority = Authority()
        self._ca = authority.own.cert
        write_pair(folder, "server", authority.sign("server"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def access(self) -> Access:
        port = self._socket.getsockname()[1]
        return Access(server=f"https://127.0.0.1:{port}", ca=self._ca, source="tests")

    def close(self) -> None:
        # A closed socket does not wake who waits on it in another thread.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with plain, self._context.wrap_socket(plain, server_side=True) as connection:
                connection.settimeout(DEADLINE_S)
                while self._serve_one(connection):
                    pass

    def _serve_one(self, connection: ssl.SSLSocket) -> bool:
        """Read a request and do the next thing of the script; False: the connection is over."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(4096)
            if not piece:
                return False
            head += piece
        self.asked.append(head.split(b" ")[0].decode())
        if not self._script or self._script.pop(0) == DROP:
            return False
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        return True


@contextmanager
def a_server(folder: Path, *script: str) -> Iterator[tuple[Server, HttpsTransport]]:
    server = Server(folder, script)
    transport = HttpsTransport(server.access, timeout_s=DEADLINE_S)
    try:
        yield server, transport
    finally:
        transport.close()
        server.close()


def test_a_connection_is_kept(tmp_path: Path) -> None:
    with a_server(tmp_path, ANSWER, ANSWER) as (server, transport):
        transport.send("GET", "/a")
        transport.send("POST", "/a", body=b"{}")
        assert server.asked == ["GET", "POST"]


def test_a_read_whose_kept_connection_broke_is_asked_again_on_a_new_one(tmp_path: Path) -> None:
    with a_server(tmp_path, ANSWER, DROP, ANSWER) as (server, transport):
        transport.send("GET", "/a")

        assert transport.send("GET", "/a").status == 200
        assert server.asked == ["GET", "GET", "GET"]


@pytest.mark.parametrize("method", WRITES)
def test_a_write_whose_kept_connection_broke_is_never_sent_again(
    tmp_path: Path, method: str
) -> None:
    """The server may have carried it out: a second one would be another write."""
    with a_server(tmp_path, ANSWER, DROP, ANSWER) as (server, transport):
        transport.send("GET", "/a")

        with pytest.raises(Unreachable, match="the change may have happened, look before"):
            transport.send(method, "/a", body=b"{}")
        assert server.asked == ["GET", method]
        # What comes next has a connection of its own.
        assert transport.send("GET", "/a").status == 200


def test_a_read_on_a_fresh_connection_that_breaks_is_not_asked_for_ever(tmp_path: Path) -> None:
    with a_server(tmp_path, DROP, ANSWER) as (server, transport):
        with pytest.raises(Unreachable):
            transport.send("GET", "/a")
        assert server.asked == ["GET"]
