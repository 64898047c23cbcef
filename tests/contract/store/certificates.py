"""An authority of a test and what it signs, made as cuberoot makes those of a cluster."""

from datetime import UTC, datetime
from pathlib import Path

from cuberoot import pki
from cuberoot.pki import Signed
from cuberoot.program import Identity

LOOPBACK = "127.0.0.1"


class Authority:
    """A certificate authority of one test."""

    def __init__(self, name: str = "test authority") -> None:
        self._now = datetime.now(UTC)
        self.own = pki.new_ca(name, self._now)

    def sign(self, user: str, group: str = "", names: tuple[str, ...] = ()) -> Signed:
        """Return a certificate for loopback and names, of a server and of a client, and its key."""
        groups = (group,) if group else ()
        identity = Identity(user, groups, names, (LOOPBACK,), is_server=True, is_client=True)
        return pki.new_cert(identity, self.own, self._now)


def write_pair(folder: Path, name: str, signed: Signed) -> None:
    """Write NAME.crt and NAME.key."""
    (folder / f"{name}.crt").write_bytes(signed.cert)
    (folder / f"{name}.key").write_bytes(signed.key)


def write_certificates(folder: Path) -> None:
    """Write ca.crt, server.crt, server.key, client.crt and client.key."""
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.own.cert)
    for name in ("server", "client"):
        write_pair(folder, name, authority.sign(name))
