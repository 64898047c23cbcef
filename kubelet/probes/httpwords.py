"""HTTP/1.1 as probes speak it: a request, and the head of its answer. Pure."""

from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from cubernetes.api.core.podspec.probes.actions import HTTPGetAction

AGENT = "kube-probe/1.32"
HEAD_BYTES_MAX = 64 * 1024
REDIRECTS_MAX = 10
SAFE = "/?&=%:@!$'()*+,;~#[]"
PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """Where a request goes, and what it asks for there."""

    scheme: str  # http, https
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


class Malformed(Exception):
    """What came is no answer of HTTP."""


class Head(NamedTuple):
    """location: where a redirect leads to; empty where there is none."""

    code: int
    location: str = ""


def target_of(action: HTTPGetAction, host: str, port: int) -> Target:
    path = quote(action.path.partition("#")[0], safe=SAFE)
    scheme = (action.scheme or "HTTP").lower()
    return Target(scheme, host, port, path if path[:1] == "/" else f"/{path}")


def redirected(target: Target, location: str) -> Target | None:
    """Return where a redirect leads to within the same host; None: elsewhere, or nowhere."""
    try:
        parts = urlsplit(urljoin(target.url, location))
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in PORTS or parts.hostname != target.host:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, target.host, port, quote((parts.path or "/") + query, safe=SAFE))


def request_bytes(target: Target, action: HTTPGetAction) -> bytes:
    """Return the request; a header that the action gives stands in place of ours."""
    own = {"host": f"{target.host}:{target.port}", "user-agent": AGENT, "accept": "*/*"}
    given = [(one.name, one.value) for one in action.http_headers]
    theirs = {name.lower() for name, _ in given}
    lines = [f"GET {target.path} HTTP/1.1"]
    lines += [f"{name.title()}: {text}" for name, text in own.items() if name not in theirs]
    # An empty value takes a header away, as in Kubernetes; without Host it would be no request.
    lines += [f"{name}: {text}" for name, text in given if text or name.lower() == "host"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def head_of(text: bytes) -> Head:
    """Return what the head of an answer says. Raises: Malformed."""
    status, *lines = text.decode("latin-1").split("\r\n")
    words = status.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise Malformed(f"malformed HTTP response {status[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    locations = (text.strip() for name, _, text in pairs if name.lower() == "location")
    return Head(int(words[1]), next(locations, ""))
