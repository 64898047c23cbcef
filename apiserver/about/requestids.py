"""The id of a request: its client's, where that has a safe form, else one of this server's."""

import re
from itertools import count

from cubernetes.host.web.messages import Request

HEADER = "X-Request-Id"
GIVEN, TRACE = HEADER.lower(), "traceparent"
READING = ("GET", "HEAD")
SERVER_CHARS = 8
# Of what stands in a log line and a header without harm.
FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
# W3C Trace Context: version, trace, parent, flags.
TRACE_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class RequestIds:
    """Gives ids: what stands before the number is this life's of this server."""

    def __init__(self, uuid: str) -> None:
        self._server = uuid[:SERVER_CHARS]
        self._numbers = count(1)

    def id_of(self, request: Request) -> str:
        """Return the id; empty for what only reads and brings none."""
        if given := given_id(request):
            return given
        return "" if request.method in READING else f"{self._server}-{next(self._numbers)}"


def given_id(request: Request) -> str:
    """Return the id that a client gave; empty where there is none of a safe form."""
    headers = request.headers
    if (given := headers.get(GIVEN)) is not None and FORM.fullmatch(given):
        return given
    traced = TRACE_FORM.fullmatch(headers.get(TRACE, ""))
    return traced[1] if traced else ""
