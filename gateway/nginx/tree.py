"""Configurations on the disk: a folder each, and a link to the one that is served.

    ROOT/conf/<generation>/nginx.conf
    ROOT/conf/current -> <generation>
    ROOT/tls/<certificate>.pem

What nginx reads is never changed, only exchanged. Certificates stand beside: nginx reads one at a
handshake, by its name, whatever configuration it has. Every call may block.
"""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from cubernetes.host.durable.files import read_or_none, write_atomic

CONFIGURATION, TLS = "conf", "tls"
CURRENT, FILE = "current", "nginx.conf"
# Generations that are kept, the current one among them: an older one may be looked at.
KEPT = 3


class Tree:
    """The folders of one gateway."""

    def __init__(self, root: Path, workers_gid: int) -> None:
        self._root, self._workers_gid = root, workers_gid

    def prepare(self) -> None:
        """Make the folders. Raises: OSError."""
        (self._root / CONFIGURATION).mkdir(mode=0o755, parents=True, exist_ok=True)
        folder = self._root / TLS
        folder.mkdir(mode=0o710, parents=True, exist_ok=True)
        # Only root and nginx's workers come in here.
        os.chown(folder, -1, self._workers_gid)
        folder.chmod(0o710)

    def current(self) -> str:
        """Return the generation that is to be served; empty where there is none yet."""
        link = self._root / CONFIGURATION / CURRENT
        return link.readlink().name if link.is_symlink() and (link / FILE).exists() else ""

    def write(self, generation: str, content: bytes) -> None:
        """Write a configuration beside the others. Raises: OSError."""
        folder = self._root / CONFIGURATION / generation
        folder.mkdir(mode=0o755, exist_ok=True)
        write_atomic(folder / FILE, content, 0o644)

    def switch(self, generation: str) -> None:
        """Make a generation the current one, and forget those that are long past.

        Raises: OSError.
        """
        place = self._root / CONFIGURATION
        unfinished = place / f".{CURRENT}.new"
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(generation)
        unfinished.replace(place / CURRENT)
        folders = [one for one in place.iterdir() if one.is_dir() and not one.is_symlink()]
        others = [one for one in folders if one.name != generation]
        for folder in sorted(others, key=lambda one: one.stat().st_mtime)[: -(KEPT - 1)]:
            shutil.rmtree(folder)

    def forget(self, generation: str) -> None:
        """Remove a configuration that was refused. Raises: OSError."""
        if generation != self.current():
            shutil.rmtree(self._root / CONFIGURATION / generation, ignore_errors=True)

    def certificate(self, name: str) -> bytes | None:
        """Return a certificate and its key, None where there is none. Raises: OSError."""
        return read_or_none(self._certificate(name))

    def write_certificate(self, name: str, pair: bytes) -> None:
        """Put a certificate and its key in the place of those of before. Raises: OSError."""
        path = self._certificate(name)
        if read_or_none(path) == pair:
            return
        unfinished = path.with_suffix(".new")
        # Never readable for others, not even before it is whole.
        write_atomic(unfinished, pair, 0o600)
        os.chown(unfinished, -1, self._workers_gid)
        unfinished.chmod(0o640)
        unfinished.replace(path)

    def keep_certificates(self, names: Collection[str]) -> None:
        """Remove those that are not named. Raises: OSError."""
        for path in (self._root / TLS).iterdir():
            if path.stem not in names:
                path.unlink()

    def _certificate(self, name: str) -> Path:
        return self._root / TLS / f"{name}.pem"

    def remove(self) -> None:
        """Remove everything. Raises: OSError."""
        if self._root.exists():
            shutil.rmtree(self._root)
