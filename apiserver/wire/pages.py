"""The continue token of a list that was cut: which revision, and behind which key. Pure."""

import base64
import binascii
from typing import NamedTuple

import msgspec

from cubernetes.api.errors import BadRequest
from cubernetes.api.notation.jsontext import INTEGER_MAX

TOKEN_CHARS_MAX = 2048


class _Token(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    revision: int
    after: str


class Position(NamedTuple):
    """Where a list goes on: at exactly this revision, behind this key."""

    revision: int
    after: str


def token_of(place: Position) -> str:
    """Return a place as a text that is opaque to clients."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Token(*place))).decode()


def place_of(token: str, prefix: str) -> Position:
    """Return the place of a token.

    Raises: BadRequest: we did not make it, or it belongs to another list.
    """
    try:
        content = base64.b64decode(token[:TOKEN_CHARS_MAX], altchars=b"-_", validate=True)
        made = msgspec.json.decode(content, type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise BadRequest("continue: not a token of this server") from error
    if not 1 <= made.revision < INTEGER_MAX or not made.after.startswith(prefix):
        raise BadRequest("continue: the token belongs to another list")
    return Position(made.revision, made.after)
