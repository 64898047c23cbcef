"""Where requests wait for their turn: for a seat among those under way, for room for a body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

from apiserver.auth.authorize import (
    CONTROLLERS,
    PROXIES,
    PROXY_PREFIX,
    SCHEDULER,
    node_of,
)
from apiserver.fairness.shares import FlowFull, Share, Shares, Ticket
from apiserver.settings import Limits
from cubernetes.api.errors import TooManyRequests
from cubernetes.host.web.messages import ANONYMOUS, Identity, Request

RETRY_AFTER_S = 1


class Class(Enum):
    """Who asks, as far as it matters for whose turn it is; the first are served first."""

    CONTROL = "the scheduler and the controllers"
    NODES = "kubelets and proxies"
    USERS = "everybody else who is known"
    STRANGERS = "who shows no certificate"


# The part of the whole that a class has, and the part of it that one flow may hold.
PARTS: dict[Class, tuple[float, float]] = {
    Class.CONTROL: (0.25, 0.8),
    Class.NODES: (0.35, 0.15),
    Class.USERS: (0.3, 0.34),
    Class.STRANGERS: (0.1, 0.15),
}


def class_of(identity: Identity) -> Class:
    if identity.user in (SCHEDULER, CONTROLLERS):
        return Class.CONTROL
    is_proxy = PROXIES in identity.groups and identity.user.startswith(PROXY_PREFIX)
    if is_proxy or node_of(identity):
        return Class.NODES
    return Class.STRANGERS if identity == ANONYMOUS else Class.USERS


def flow_of(request: Request) -> tuple[Class, str]:
    """Return whose turn a request takes. Strangers are told apart by their addresses alone."""
    kind = class_of(request.identity)
    return kind, request.address if kind is Class.STRANGERS else request.identity.user


def shares_of(units: int, flow_units_min: int, waiting_count: int) -> dict[Class, Share]:
    """Return every class's share of so many units; each flow may have flow_units_min at least."""
    shares = {}
    for kind, (part, flow_part) in PARTS.items():
        of_class = max(int(units * part), flow_units_min)
        of_flow = max(int(of_class * flow_part), flow_units_min)
        shares[kind] = Share(of_class, of_flow, waiting_count)
    return shares


class Gate:
    """Lets requests in by their turns, and keeps those waiting that must."""

    def __init__(self, what: str, shares: dict[Class, Share], deadline_s: float) -> None:
        self._what, self._deadline_s = what, deadline_s
        self._shares = Shares(shares)
        self._woken: dict[Ticket, asyncio.Future[None]] = {}

    @property
    def held_units(self) -> int:
        return self._shares.held_units

    @property
    def waiting_count(self) -> int:
        return self._shares.waiting_count

    @asynccontextmanager
    async def place(self, request: Request, units: int) -> AsyncIterator[None]:
        """Wait for units, and hold them.

        Raises: TooManyRequests: too many of its flow wait already, or its turn did not come.
        """
        kind, user = flow_of(request)
        try:
            ticket = self._shares.arrived(kind, user, units)
        except FlowFull as error:
            raise self._refusal(user) from error
        try:
            self._give_turns()
            if not ticket.is_held:
                await self._turn_of(ticket, user)
            yield
        finally:
            self._shares.left(ticket)
            self._give_turns()

    async def _turn_of(self, ticket: Ticket, user: str) -> None:
        woken = self._woken[ticket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._deadline_s):
                await woken
        except TimeoutError as error:
            raise self._refusal(user) from error
        finally:
            del self._woken[ticket]

    def _give_turns(self) -> None:
        for ticket in self._shares.turns():
            woken = self._woken.get(ticket)
            if woken is not None and not woken.done():
                woken.set_result(None)

    def _refusal(self, user: str) -> TooManyRequests:
        message = f"{user or 'you'}: too many {self._what} at once, wait and try again"
        return TooManyRequests(message, retry_after_s=RETRY_AFTER_S)


def seats(limits: Limits) -> Gate:
    """Return the gate of requests under way."""
    shares = shares_of(limits.in_flight_max, 1, limits.waiting_per_user_max)
    return Gate("requests", shares, limits.turn_deadline_s)


def bodies(limits: Limits) -> Gate:
    """Return the gate of bodies in memory, by their bytes: each may be as long as a body may be."""
    shares = shares_of(limits.bodies_bytes_max, limits.body_bytes_max, limits.waiting_per_user_max)
    return Gate("bytes of bodies", shares, limits.turn_deadline_s)
