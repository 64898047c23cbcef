"""Docker's two stream formats, decoded piece by piece: log frames and lines of JSON."""

from collections.abc import Iterator

HEADER_BYTES = 8
LINE_BYTES_MAX = 1 << 20  # a progress or event line beyond this is not one


class Frames:
    """Takes stdout and stderr out of the frames in which Docker sends them, in order.

    A frame is one byte of stream number, three of zero, four of length, then the payload. Pieces
    are given on as they come, so that a huge frame needs no memory.
    """

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left_bytes = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the payload in piece, which may begin and end anywhere."""
        return (payload for _, payload in self.feed_numbered(piece))

    def feed_numbered(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each payload in piece behind the number of its stream."""
        view = memoryview(piece)
        while view:
            if self._left_bytes:
                payload, view = view[: self._left_bytes], view[self._left_bytes :]
                self._left_bytes -= len(payload)
                yield self._stream, bytes(payload)
                continue
            wanted = HEADER_BYTES - len(self._header)
            self._header += bytes(view[:wanted])
            view = view[wanted:]
            if len(self._header) == HEADER_BYTES:
                self._stream = self._header[0]
                self._left_bytes = int.from_bytes(self._header[4:], "big")
                self._header = b""


class LineTooLong(Exception):
    """A line of a JSON stream grew beyond LINE_BYTES_MAX."""


class Lines:
    """Cuts a stream into its non-empty lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield each line that piece completes.

        Raises: LineTooLong.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise LineTooLong
        yield from (line for line in lines if line.strip())
