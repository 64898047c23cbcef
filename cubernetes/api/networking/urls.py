"""Hosts and paths of roads to services: which texts are accepted, and how that is said.

Hosts are RFC 1123's subdomains, in lower case; a wildcard stands for one whole label, the first.
Paths are RFC 3986's `path-absolute`; what a server would normalise away is refused, as Kubernetes
refuses it: `//`, `.` and `..` as segments, an encoded slash.
"""

import re
from urllib.parse import unquote_to_bytes

from cubernetes.api import names
from cubernetes.api.core.node import is_address

PATH_CHARS_MAX = 1024
# nginx takes a token of 4,096 bytes, in which a '$' is written out.
DOLLAR_BYTES = 16
TEXT_BYTES_MAX = 3600
WILDCARD = "*."

_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*\Z")

HOST_RULE = names.SUBDOMAIN_RULE + ", and no address"
WILDCARD_RULE = HOST_RULE + "; a wildcard is '*.' and such a name"
PATH_RULE = (
    f"must begin with '/' and hold at most {PATH_CHARS_MAX} of the characters that RFC 3986 has "
    "for paths (others as %XX), without query and fragment"
)
SEGMENT_RULE = "must not hold '//', '.' or '..' as a segment, an encoded '/' or a control character"


def host_problem(host: str, *, may_be_wildcard: bool) -> str:
    """Return what is wrong with a host; empty where it is accepted."""
    name = host.removeprefix(WILDCARD) if may_be_wildcard else host
    if names.is_subdomain(name) and not is_address(name) and len(host) <= names.SUBDOMAIN_MAX:
        if all(len(label) <= names.LABEL_MAX for label in name.split(".")):
            return ""
        return f"has a label of more than {names.LABEL_MAX} characters"
    return WILDCARD_RULE if may_be_wildcard else HOST_RULE


def path_problem(path: str) -> str:
    """Return what is wrong with a path; empty where it is accepted."""
    if len(path) > PATH_CHARS_MAX or _PATH.match(path) is None:
        return PATH_RULE
    try:
        text = decoded(path)
    except UnicodeDecodeError:
        return "must be UTF-8 where its %XX are decoded"
    if len(text.encode()) + text.count("$") * DOLLAR_BYTES > TEXT_BYTES_MAX:
        return f"holds too many '$': each counts {DOLLAR_BYTES} bytes of {TEXT_BYTES_MAX}"
    has_control = any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)
    segments = text.split("/")[1:]
    has_dots = any(segment in (".", "..") for segment in segments)
    if "%2f" in path.lower() or has_dots or "//" in text or has_control:
        return SEGMENT_RULE
    return ""


def decoded(path: str) -> str:
    """Return a path as servers match it: `%41` is `A`.

    Raises: UnicodeDecodeError.
    """
    return unquote_to_bytes(path).decode()
