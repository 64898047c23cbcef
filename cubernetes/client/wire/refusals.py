"""Answers that are no success, as errors: said once for every client. Pure."""

from collections.abc import Mapping

import msgspec

from cubernetes.api.bodies.envelopes import Status, error_of
from cubernetes.api.coding import codec
from cubernetes.api.errors import ApiError, error_for

SAID_CHARS_MAX = 200


def refusal_of(code: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """Return the error that an answer tells of, whether its body is a Status or not.

    headers have names in lower case.
    """
    try:
        refusal = error_of(codec.decode(Status, body))
    except (msgspec.DecodeError, RecursionError):
        said = body.decode(errors="replace").strip()[:SAID_CHARS_MAX]
        refusal = error_for(code, "")(f"the server answered {code}: {said or 'nothing more'}")
    wait = headers.get("retry-after", "")
    if wait.isascii() and wait.isdigit():
        refusal.retry_after_s = max(refusal.retry_after_s, int(wait))
    return refusal
