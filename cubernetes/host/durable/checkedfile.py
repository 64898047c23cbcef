"""A file that is believed only whole: a checksum, a line end, and what was saved.

Programs keep in such files what they were told last, so that they can go on from it while nobody
answers. One that is cut or changed is no file; a disk that is full loses only the newest.
"""

import zlib
from hashlib import blake2b
from pathlib import Path

from cubernetes.host.durable.files import read_or_none, write_atomic
from cubernetes.host.log import Log

log = Log(__name__)


class CheckedFile:
    """One file. Both calls may block: they belong on a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Of what was saved last, which may be long.
        self._digest = b""

    def load(self) -> bytes | None:
        """Return what was saved last; None where there is nothing that can be trusted."""
        try:
            content = read_or_none(self.path)
        except OSError as error:
            self.distrust(error)
            return None
        if content is None:
            return None
        head, _, saved = content.partition(b"\n")
        if head != _sum_of(saved):
            self.distrust("its checksum is wrong")
            return None
        return saved

    def save(self, content: bytes) -> None:
        """Replace what was saved; the same again is not written.

        Raises:
            OSError: the disk is full, or worse. What was saved last stands; save again later.
        """
        digest = blake2b(content).digest()
        if digest == self._digest:
            return
        write_atomic(self.path, _sum_of(content) + b"\n" + content)
        self._digest = digest

    def distrust(self, why: object) -> None:
        """Tell that what the file holds is not used, and why."""
        log.warning("checkpoint ignored", path=self.path, why=why)


def _sum_of(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)
