"""Heads of requests and answers that are handed on, as Kubernetes' API server hands them on. Pure.

What is of one connection stays there (RFC 9110, 7.6.1); what a client shows this server to be known
is no target's business. Paths of the target become paths of this server below a prefix.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit, urlunsplit

HTML = "text/html"
OF_A_CONNECTION = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
# What shows who a client is, or asks to act as another; and what this server itself obeys or says.
NOT_THE_TARGETS = frozenset({
    "authorization", "expect", "cubernetes-fence", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-uri",
})  # fmt: skip
NOT_THE_TARGETS_BEGIN = ("impersonate-", "x-remote-")
CORS = "access-control-"
UNASKED_SWITCH = "the target switched protocols unasked"
LOOPBACKS = frozenset({"127.0.0.1", "::1", "localhost"})
_COOKIE_PART = re.compile(r";\s*(path|domain)\s*=\s*([^;]*)", re.IGNORECASE)

type Fields = list[tuple[str, str]]


def is_switch(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a client asks to switch to another protocol."""
    named = [(name.lower(), value.lower()) for name, value in fields]
    asks = any(name == b"connection" and b"upgrade" in value for name, value in named)
    return asks and any(name == b"upgrade" for name, _ in named)


def is_agreed(asked: Iterable[tuple[str, str]], answered: Iterable[tuple[str, str]]) -> bool:
    """Whether a 101 agrees to the protocol that was asked for.

    With any other nobody may be given the connection: a client that has asked for none would send
    its next request, and who it is, to the target.
    """
    wanted = _upgrade_of(asked)
    return wanted != "" and _upgrade_of(answered).lower() == wanted.lower()


def is_of_this_machine(origin: str) -> bool:
    """Whether a page is one that `kubectl proxy` has shown on its user's own machine."""
    try:
        return urlsplit(origin).hostname in LOOPBACKS
    except ValueError:
        return False


def asked_fields(
    fields: Sequence[tuple[bytes, bytes]], address: str, uri: str, *, is_switched: bool
) -> Fields:
    """Return the header fields that a target is sent.

    address: the client's. uri: what it asked for. is_switched: it asks for another protocol.
    """
    given = [
        (name.decode(errors="replace"), value.decode(errors="replace")) for name, value in fields
    ]
    host = next((value for name, value in given if name.lower() == "host"), "")
    is_chunked = any(name.lower() == "transfer-encoding" for name, _ in given)
    takes_html = any(name.lower() == "accept" and HTML in value for name, value in given)
    left = _of_the_connection(given)
    if is_chunked:
        left |= {"content-length"}
    if takes_html:
        # A page whose links are to be rewritten must be readable.
        left |= {"accept-encoding"}
    kept = [
        (name, value)
        for name, value in given
        if name.lower() not in left | NOT_THE_TARGETS | {"x-forwarded-for"}
        and not name.lower().startswith(NOT_THE_TARGETS_BEGIN)
    ]
    before = [value for name, value in given if name.lower() == "x-forwarded-for"]
    through = ", ".join([*before, address] if address else before)
    more = [
        ("X-Forwarded-For", through),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", uri),
    ]
    if is_switched:
        more += [("Connection", "Upgrade"), ("Upgrade", _upgrade_of(given))]
    return [*kept, *((name, value) for name, value in more if value)]


def answered_fields(fields: Sequence[tuple[str, str]], prefix: str, host: str) -> Fields:
    """Return the header fields of a target's answer that its client is sent.

    prefix: where the target's root is on this server. host: what the client calls this server.
    """
    left = _of_the_connection(fields)
    kept: Fields = []
    for name, value in fields:
        lowered = name.lower()
        if lowered in left or lowered.startswith(CORS):
            continue
        match lowered:
            case "location":
                value = rewritten(value, prefix, host)
            case "set-cookie":
                value = _cookie(value, prefix)
        kept.append((name, value))
    return kept


def switched_fields(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the header fields of a 101, which has agreed to another protocol."""
    upgrade = _upgrade_of(fields)
    left = _of_the_connection(fields)
    kept = {name: value for name, value in fields if name.lower() not in left}
    return {**kept, "Connection": "Upgrade", "Upgrade": upgrade}


def rewritten(url: str, prefix: str, host: str) -> str:
    """Return where a target's URL is on this server; another host's and relative ones stay."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    is_other = parts.netloc and parts.netloc != host
    if is_other or not parts.path.startswith("/") or parts.scheme not in ("", "http", "https"):
        return url
    path = parts.path
    if path != prefix and not path.startswith(f"{prefix}/"):
        path = prefix + path
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def is_page(fields: Sequence[tuple[str, str]]) -> bool:
    """Whether an answer is a page of HTML that can be read as it comes."""
    told = {name.lower(): value for name, value in fields}
    media = told.get("content-type", "").partition(";")[0].strip().lower()
    return media == HTML and told.get("content-encoding", "identity").lower() in ("", "identity")


def _upgrade_of(fields: Iterable[tuple[str, str]]) -> str:
    return next((value for name, value in fields if name.lower() == "upgrade"), "")


def _of_the_connection(fields: Sequence[tuple[str, str]]) -> frozenset[str]:
    named = [value for name, value in fields if name.lower() == "connection"]
    return OF_A_CONNECTION | {word.strip().lower() for value in named for word in value.split(",")}


def _cookie(value: str, prefix: str) -> str:
    """Keep a target's cookie to the target: no other one, and not this server, is sent it."""

    def part(found: re.Match[str]) -> str:
        if found[1].lower() == "domain":
            return ""
        return f"; Path={rewritten(found[2].strip() or '/', prefix, '')}"

    return _COOKIE_PART.sub(part, value)
