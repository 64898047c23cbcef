"""A stream of bytes into lines: a watch sends one JSON object a line, in chunks cut anywhere."""

from cubernetes.api.notation.jsontext import BODY_BYTES_MAX

# An event is one object, which is at most a body, and a few words around it.
LINE_BYTES_MAX = BODY_BYTES_MAX + 64 * 1024


class LineTooLong(Exception):
    """A line went on past the limit: what comes is not a watch."""


class Lines:
    """Collects chunks; gives each line once, whole, without its end, in order."""

    def __init__(self, limit_bytes: int = LINE_BYTES_MAX) -> None:
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes; empty lines are left out.

        Raises: LineTooLong.
        """
        first, *others = chunk.split(b"\n")
        lines = []
        for part in others:
            self._keep(first)
            lines.append(b"".join(self._parts))
            self._parts.clear()
            self._size_bytes = 0
            first = part
        self._keep(first)
        return [line for line in lines if line]

    @property
    def is_whole(self) -> bool:
        """Nothing is left over: a stream that ends here was not cut within a line."""
        return self._size_bytes == 0

    def _keep(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes > self._limit_bytes:
            raise LineTooLong(f"a line has more than {self._limit_bytes} bytes")
        if part:
            self._parts.append(part)
