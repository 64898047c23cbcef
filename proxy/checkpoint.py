"""The rules that this node was given last, kept on its disk: it serves on while nobody answers."""

from pathlib import Path

from cubernetes.host.durable.checkedfile import CheckedFile


class Checkpoint:
    """One file, whose content the backend understands. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._file = CheckedFile(path) if path else None

    def load(self) -> bytes | None:
        """Return what was saved last; None where there is nothing to be trusted."""
        return self._file.load() if self._file else None

    def save(self, content: bytes) -> None:
        """Keep it. Raises: OSError, where the disk takes nothing; the last content stands."""
        if self._file:
            self._file.save(content)

    def distrust(self, why: object) -> None:
        """Report that the content is not used, and why."""
        if self._file:
            self._file.distrust(why)
