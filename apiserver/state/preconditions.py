"""What else must hold at the moment of a write, compared in the same transaction. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from apiserver.state.items import Item, Seen
from cubernetes.api.meta import Object


class Precondition(NamedTuple):
    """A key that a write reads beside its own, and what must be true there."""

    key: str
    check: Callable[[Object | None], None]


def check_all(preconditions: tuple[Precondition, ...], seen: Seen) -> None:
    """Let every precondition see what stands at its key.

    Raises: what the preconditions raise.
    """
    for one in preconditions:
        found = seen[one.key]
        one.check(found.object if isinstance(found, Item) else None)
