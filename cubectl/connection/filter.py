"""Which requests `cubectl proxy` hands on, and how: plain text in, plain text out. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

HEAD_BYTES_MAX = 64 * 1024
ENCODING = "latin-1"  # every byte is a character
# Of one connection, or of who we are: the server shall not hear it from a client of ours.
NOT_HANDED_ON = frozenset(
    {"host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "authorization"}
)


class NoHead(Exception):
    """What came is not the head of a request of HTTP/1.1."""


class Head(NamedTuple):
    """How a request begins; names of headers in lower case, each as often as it came."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]

    def header(self, name: str) -> str:
        """Return what a header says: several of a name are one list, as HTTP has it."""
        return ",".join(value for key, value in self.headers if key == name)


def head_in(text: bytes) -> Head:
    """Read a head. Raises: NoHead."""
    first, *lines = text.decode(ENCODING).removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    is_request = len(words) == 3 and words[2] == "HTTP/1.1" and words[1].startswith("/")
    # A line feed within it would end the line for many a server.
    if not is_request or not first.isprintable():
        raise NoHead(f"not a request of HTTP/1.1: {first[:80]!r}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise NoHead(f"not a header: {line[:80]!r}")
        headers.append((name.lower(), value.strip()))
    return Head(words[0], words[1], headers)


@dataclass(frozen=True, slots=True)
class Filter:
    """Regular expressions, as kubectl's: what a host, path and method must match, and must not."""

    hosts: Sequence[re.Pattern[str]]
    paths: Sequence[re.Pattern[str]]
    paths_refused: Sequence[re.Pattern[str]]
    methods_refused: Sequence[re.Pattern[str]]

    def refusal(self, head: Head) -> str:
        """Return why a request is not handed on; empty: it is."""
        host = head.header("host")
        name = re.sub(r":[0-9]*$", "", host)
        # As its reader will understand it, so that no spelling of a path is another path.
        path = unquote(head.target.partition("?")[0])
        if not _matches(self.hosts, name):
            return f"host {name[:80]!r} is not accepted (--accept-hosts)"
        if not _matches(self.paths, path) or _matches(self.paths_refused, path):
            return f"path {path[:200]!r} is not accepted (--accept-paths, --reject-paths)"
        if _matches(self.methods_refused, head.method):
            return f"method {head.method[:20]!r} is not accepted (--reject-methods)"
        origin = head.header("origin")
        if origin and origin.partition("://")[2] != host:
            return "a page of another site may not ask"
        return ""


def _matches(patterns: Sequence[re.Pattern[str]], text: str) -> bool:
    return any(one.search(text) for one in patterns)


def handed_on(head: Head, prefix: str, host: str, proof: Sequence[tuple[str, str]]) -> bytes:
    """Return the head for the server: one request a connection, which may become another protocol.

    prefix: of every path there. proof: headers that say who we are.
    """
    wishes = {word.strip() for word in head.header("connection").lower().split(",")}
    is_switch = "upgrade" in wishes and head.header("upgrade") != ""
    refused = NOT_HANDED_ON | wishes - {"upgrade"} | (set() if is_switch else {"upgrade"})
    headers = [("host", host), *proof]
    headers += [(name, value) for name, value in head.headers if name not in refused]
    headers.append(("connection", "upgrade" if is_switch else "close"))
    lines = [f"{head.method} {prefix}{head.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode(ENCODING)
