"""Where requests wait for their turn: for a seat among those under way, for room for a body."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from cubernetes.host.web.shares import FlowFull, Share, Shares, Ticket


class Gate[Class]:
    """Lets requests in by their turns, and keeps those waiting that must; classes have shares."""

    def __init__(
        self,
        shares: Mapping[Class, Share],
        deadline_s: float,
        refusal: Callable[[str], Exception],
    ) -> None:
        """refusal makes the error of a request whose turn does not come, given its flow."""
        self._shares = Shares(shares)
        self._deadline_s, self._refusal = deadline_s, refusal
        self._woken: dict[Ticket, asyncio.Future[None]] = {}

    @property
    def held_units(self) -> int:
        return self._shares.held_units

    @property
    def waiting_count(self) -> int:
        return self._shares.waiting_count

    @asynccontextmanager
    async def place(self, of: Class, flow: str, units: int) -> AsyncIterator[None]:
        """Wait for units, and hold them for the length of the block.

        Raises: as enter does.
        """
        ticket = await self.enter(of, flow, units)
        try:
            yield
        finally:
            self.leave(ticket)

    async def enter(self, of: Class, flow: str, units: int) -> Ticket:
        """Wait for units, and return the ticket that holds them until it leaves.

        Raises: what refusal makes: too many of the flow wait already, or its turn did not come.
        """
        try:
            ticket = self._shares.arrived(of, flow, units)
        except FlowFull as error:
            raise self._refusal(flow) from error
        try:
            self._give_turns()
            if not ticket.is_held:
                await self._turn_of(ticket)
        except BaseException:
            self.leave(ticket)
            raise
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give back what a ticket holds."""
        self._shares.left(ticket)
        self._give_turns()

    async def _turn_of(self, ticket: Ticket) -> None:
        woken = self._woken[ticket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._deadline_s):
                await woken
        except TimeoutError as error:
            raise self._refusal(ticket.flow.name) from error
        finally:
            del self._woken[ticket]

    def _give_turns(self) -> None:
        for ticket in self._shares.turns():
            woken = self._woken.get(ticket)
            if woken is not None and not woken.done():
                woken.set_result(None)
