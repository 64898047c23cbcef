"""What the proxy asks of a packet filter: services become rules, in one transaction, and stay so.

compile (pure, inside `apply`) -> one transaction -> drift (`check`). A backend is told each change
of an object, so that one change among thousands need not cost a look at all of them.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice


class Outcome(NamedTuple):
    """What a turn did. changed_count and chain_count are numbers of chains or of map elements."""

    is_written: bool
    changed_count: int = 0
    chain_count: int = 0


class Snapshot(NamedTuple):
    """What the rules were compiled to. Equal versions mean equal content within one life."""

    version: int
    encode: Callable[[], bytes]


class Backend(Protocol):
    """Every call may be repeated after a failure; none leaves a packet without an answer."""

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        """Take a change in; the kernel follows at the next `apply`."""
        ...

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """Take a change in; the kernel follows at the next `apply`."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """Return what the last compilation left out, with the reasons."""
        ...

    async def apply(self) -> Outcome:
        """Write what changed since the last turn, in one transaction. Raises: CommandFailed."""
        ...

    async def check(self) -> Outcome:
        """Compare with what the kernel holds, and repair it. Raises: CommandFailed."""
        ...

    async def are_there(self) -> bool:
        """Tell whether the kernel serves by rules of ours. Raises: CommandFailed."""
        ...

    async def restore(self, saved: bytes) -> Outcome:
        """Write the rules of a snapshot.

        Raises: ValueError, where these bytes are none of this backend; CommandFailed.
        """
        ...

    def snapshot(self) -> Snapshot:
        """Return what was compiled last, for a start without an API server."""
        ...
