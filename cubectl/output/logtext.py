"""Logs on their way to a terminal or a pipe: decoded, made harmless, told apart. Pure."""

from codecs import getincrementaldecoder

from cubectl.output.printers import safe_lines

# A line that is longer is cut, where lines of several logs stand between each other.
LINE_BYTES_MAX = 256 * 1024
_Decoder = getincrementaldecoder("utf-8")


class LogText:
    """One log, in pieces of bytes, as text.

    For a terminal, what could command it is written out. by_line: lines are given when they are
    whole, so that those of other logs may stand between them; each begins with the prefix.
    """

    def __init__(self, *, is_terminal: bool, by_line: bool = False, prefix: str = "") -> None:
        self._decoder = _Decoder(errors="backslashreplace")
        self._is_terminal, self._by_line, self._prefix = is_terminal, by_line, prefix
        self._held = b""

    def feed(self, piece: bytes) -> str:
        """Return what can be shown by now."""
        if not self._by_line:
            return self._shown(self._decoder.decode(piece))
        self._held += piece
        end = self._held.rfind(b"\n") + 1
        if not end and len(self._held) > LINE_BYTES_MAX:
            end = len(self._held)
        whole, self._held = self._held[:end], self._held[end:]
        return self._lines(whole)

    def end(self) -> str:
        """Return what is left when the log has ended."""
        if not self._by_line:
            return self._shown(self._decoder.decode(b"", final=True))
        left, self._held = self._held, b""
        return self._lines(left)

    def _lines(self, whole: bytes) -> str:
        if not whole:
            return ""
        text = whole.decode(errors="backslashreplace").removesuffix("\n")
        text = text.replace("\n", f"\n{self._prefix}")
        return self._shown(f"{self._prefix}{text}\n")

    def _shown(self, text: str) -> str:
        return safe_lines(text) if self._is_terminal else text
