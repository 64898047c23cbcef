"""What callers are answered: the results of functions, and why there are none. Pure."""

import re

from cubernetes.host.web.messages import TEXT, Response
from serverless.envelope import ResultHead

CALL_HEADER = "Cube-Call"
# How many seconds a caller gives its call, its waits and the functions of its chain included.
DEADLINE_HEADER = "cube-deadline"
DEADLINE_S_MAX = 86_400
DEADLINE_RULE = (
    f"Cube-Deadline must be seconds from now, more than 0 and at most {DEADLINE_S_MAX}, such as 2.5"
)
RETRY_AFTER_S = 1
STORY_CHARS_MAX = 4096
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_SECONDS = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,6})?\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,4096}\Z")
# What the server itself says of a connection and a body.
KEPT_BACK = frozenset(
    {"connection", "content-length", "content-type", "keep-alive", "transfer-encoding", "upgrade"}
    | {"cube-call", "cube-revision", "server", "server-timing", "date", "trailer", "te"}
)


def is_deadline(text: str) -> bool:
    """Whether a header's value is a deadline."""
    return _SECONDS.match(text) is not None and 0 < float(text) <= DEADLINE_S_MAX


def refusal(status: int, why: str, *, is_later: bool = False) -> Response:
    """Return why there is no result; is_later: the same call may succeed soon."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if is_later else {}
    return Response(status, why[:STORY_CHARS_MAX].encode() + b"\n", headers, TEXT)


def answer_of(function: str, result: ResultHead, body: bytes) -> Response:
    """Return the answer to a call that an instance has run."""
    match result.outcome:
        case "ok":
            return _success(function, result, body)
        case "timeout":
            return refusal(504, f"function {function}: {result.error}")
        case "lost":
            return refusal(502, f"function {function}: {result.error}")
        case _:
            return refusal(500, f"Failure in function {function}: {result.error}")


def _success(function: str, result: ResultHead, body: bytes) -> Response:
    media = result.content_type
    wrong = [name for name, value in result.headers.items() if not _is_header(name, value)]
    if wrong or _VALUE.match(media) is None or not 200 <= result.status <= 599:
        told = wrong[0][:80] if wrong else "its content type"
        return refusal(502, f"function {function} answered with a header that is none: {told!r}")
    headers = {
        name: value for name, value in result.headers.items() if name.lower() not in KEPT_BACK
    }
    return Response(result.status, body, headers, media)


def _is_header(name: str, value: str) -> bool:
    return _TOKEN.match(name) is not None and _VALUE.match(value) is not None


def with_timing(
    response: Response, call: str, revision: str, wait_ms: float, run_ms: float
) -> Response:
    """Add which call this was, its phases, and which revision has answered, if one has."""
    timing = f"wait;dur={wait_ms:.1f}, run;dur={run_ms:.1f}"
    headers = {**response.headers, CALL_HEADER: call, "Server-Timing": timing}
    if revision:
        headers["Cube-Revision"] = revision
    return Response(response.status, response.body, headers, response.content_type)
