"""One line of a watch, read for every client: what it tells, of which object, as of when. Pure."""

from typing import Literal, NamedTuple

import msgspec

from cubernetes.api.bodies.envelopes import Status, WatchEvent, error_of
from cubernetes.api.coding import codec

REVISION_DIGITS_MAX = 19  # of 63 bits

type Verdict = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class NoEvent(Exception):
    """A line that is no event of a watch: it tells nothing."""


class Event(NamedTuple):
    """What a line tells; object is the JSON of an object, or of a bookmark's metadata."""

    type: Verdict
    object: bytes


def event_in(line: bytes) -> Event:
    """Return what a line of a watch tells.

    Raises: ApiError: the server's word that the watch failed. NoEvent: anything else.
    """
    try:
        event = codec.decode(WatchEvent, line)
        if event.type == "ERROR":
            raise error_of(codec.decode(Status, bytes(event.object)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoEvent(str(error)[:200]) from error
    return Event(event.type, bytes(event.object))


def revision_in(text: str) -> int | None:
    """Return the revision that a resourceVersion is; None where it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= REVISION_DIGITS_MAX
    return int(text) if is_number else None
