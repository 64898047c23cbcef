"""A stream in both directions: one shape for all hops of exec, attach and whatever upgrades. Pure.

A hop has two of them, and hands pieces from one to the other. It reads the next piece only when
the last one has been taken, so that back-pressure reaches from one end to the other, and memory
holds one piece for each hop and direction, besides what the kernel buffers.
"""

from typing import Protocol


class Broken(Exception):
    """The stream broke before its end: the connection was lost, or nobody took a piece in time."""


class Duplex[In, Out](Protocol):
    """The near end of a stream: In is what the other side sends, Out what it is sent.

    The directions end one by one. One task reads and another writes at the same time; not two of
    them read, nor write.
    """

    async def read(self) -> In | None:
        """Return the next piece; None, now and for ever, when the other side has finished.

        Raises: Broken.
        """
        ...

    async def write(self, piece: Out) -> None:
        """Send a piece; return as soon as there is room for another one.

        Raises: Broken.
        """
        ...

    async def finish(self) -> None:
        """Say that nothing more will be written; what was written still arrives.

        Where the carrier knows no half close (TLS), both directions end with this.
        """
        ...

    def abort(self) -> None:
        """End both directions at once; what was not taken is lost. Repeatable."""
        ...
