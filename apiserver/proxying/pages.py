"""Links of a page of HTML rewritten as it passes: those to the target's root get a prefix. Pure.

As in Kubernetes only attributes of tags are links; what scripts make of paths is theirs.
"""

import re

# A tag that is longer passes as it is.
TAG_BYTES_MAX = 8 * 1024
LINKS = rb"href|src|action|formaction|poster|cite|background|manifest|longdesc|icon|codebase"
# Nothing of it is tried twice, so that a search takes no longer than its text is.
_TAG = re.compile(rb"<([a-zA-Z][^\s/<>]*+)(?:[\s/][^<>]*+)?>")
_ENDS_A_TAG = re.compile(rb"[<>]")
# What stands between such tags is text, whatever it looks like.
RAW = frozenset({b"script", b"style", b"textarea", b"title"})
_END_OF_RAW = {name: re.compile(rb"</" + name, re.IGNORECASE) for name in RAW}


class Rewriter:
    """A page in pieces: what is fed comes out, up to a tag that is not whole yet."""

    def __init__(self, prefix: str) -> None:
        """prefix: where the target's root is on this server, without a slash at its end."""
        self._prefix = prefix.encode()
        known = re.escape(self._prefix)
        self._link = re.compile(
            rb"(\s(?:" + LINKS + rb")\s*=\s*[\"']?)(?=/(?!/))(?!" + known + rb"/)", re.IGNORECASE
        )
        self._held = b""
        self._raw = b""

    def feed(self, piece: bytes) -> bytes:
        is_begun = bool(self._held) and not self._raw
        self._held += piece
        if is_begun and len(self._held) <= TAG_BYTES_MAX and not _ENDS_A_TAG.search(piece):
            return b""
        return self._taken(is_last=False)

    def finish(self) -> bytes:
        return self._taken(is_last=True)

    def _taken(self, *, is_last: bool) -> bytes:
        text, out, at = self._held, list[bytes](), 0
        while True:
            end = self._end_of_raw(text, at) if self._raw else at
            if end is None:
                break
            out.append(text[at:end])
            at, self._raw = end, b""
            tag = _TAG.search(text, at)
            if tag is None:
                break
            out += (text[at : tag.start()], self._link.sub(self._prefixed, tag[0]))
            at = tag.end()
            name = tag[1].lower()
            self._raw = name if name in RAW else b""
        whole = len(text) if is_last else self._whole(text, at)
        out.append(text[at:whole])
        self._held = text[whole:]
        return b"".join(out)

    def _end_of_raw(self, text: bytes, at: int) -> int | None:
        found = _END_OF_RAW[self._raw].search(text, at)
        return found.start() if found is not None else None

    def _whole(self, text: bytes, at: int) -> int:
        """Return up to where no tag can begin that is not whole."""
        begin = text.rfind(b"<", at)
        if begin < 0 or text.find(b">", begin) >= 0:
            return len(text)
        most = len(self._raw) + 2 if self._raw else TAG_BYTES_MAX
        return begin if len(text) - begin <= most else len(text)

    def _prefixed(self, found: re.Match[bytes]) -> bytes:
        return found[1] + self._prefix
