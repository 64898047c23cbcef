"""Between the programs and the API servers: latency, loss, cuts and dead servers; no sockets.

A request reaches `ApiServer.handle` directly. Once it is there it goes on, whatever becomes of the
one who asked: that is what makes an outcome unknown.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

from msgspec.structs import replace

from apiserver.server import ApiServer
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.host.web.messages import Identity, Request, Response
from tests.simulation.faults import NO_FAULTS, Faults
from tests.simulation.judges.sentbindings import SentBindings

CONNECT_MAX_S = 3.0
# How long TCP goes on sending into a cut before a stream is given up.
STREAM_PATIENCE_S = 25.0


class Door:
    """One API server's place in the network: the server may be there, or dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server: ApiServer | None = None
        self.life = 0
        self._requests: dict[asyncio.Task[Response], None] = {}

    def open(self, server: ApiServer) -> None:
        self.server = server
        self.life += 1

    def shut(self) -> None:
        """The server dies: whatever it was doing ends here, and nobody is told."""
        self.server = None
        for task in self._requests:
            task.cancel()

    def begin(self, work: Coroutine[Any, Any, Response]) -> asyncio.Task[Response]:
        task = asyncio.get_running_loop().create_task(work)
        self._requests[task] = None
        task.add_done_callback(lambda _: self._requests.pop(task))
        return task


class Network:
    """Who reaches whom, and what is lost on the way."""

    def __init__(self, rng: random.Random, faults: Faults, door_count: int) -> None:
        self.rng = rng
        self.faults = faults
        self.doors = [Door(f"server-{number}") for number in range(door_count)]
        # (place, door) pairs that do not reach each other.
        self._cuts: dict[tuple[str, str], None] = {}
        # Writes of pods are lost, or done and not answered: nobody is told what became of them.
        self.is_silent_on_pods = False

    def calm(self) -> None:
        """From now on nothing is lost, late or cut."""
        self.faults = NO_FAULTS
        self._cuts.clear()
        self.is_silent_on_pods = False

    def answer_on_pods(self) -> None:
        self.is_silent_on_pods = False

    def cut(self, place: str, doors: list[Door]) -> None:
        for door in doors:
            self._cuts[place, door.name] = None

    def heal(self, place: str) -> None:
        self._cuts = {pair: None for pair in self._cuts if pair[0] != place}

    def reaches(self, place: str, door: Door) -> bool:
        return (place, door.name) not in self._cuts

    def happens(self, chance: float) -> bool:
        return chance > 0 and self.rng.random() < chance

    async def travel(self) -> None:
        most_s = self.faults.latency_s_max
        await asyncio.sleep(self.rng.uniform(0.0002, most_s if self.rng.random() < 0.2 else 0.002))


class SimTransport:
    """The connection of one incarnation of one program; dead with it."""

    def __init__(self, network: Network, place: str, identity: Identity) -> None:
        self._network = network
        self._place = place
        self._identity = identity
        self._turn = 0
        self.is_dead = False
        self.bindings = SentBindings()

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        self.bindings.sent(request)
        door, response = await self._carry(request, deadline_s)
        self.bindings.answered(request, response.status)
        if not isinstance(response.body, bytes):
            stream = self._stream(door, door.life, response.body)
            body = b"".join([chunk async for chunk in stream])
            response = replace(response, body=body)
        return response

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        door, response = await self._carry(request, deadline_s)
        if isinstance(response.body, bytes):
            return response
        return replace(response, body=self._stream(door, door.life, response.body))

    async def close(self) -> None:
        """Nothing is held open."""

    async def _carry(self, request: Request, deadline_s: float) -> tuple[Door, Response]:
        network = self._network
        ends_at_s = asyncio.get_running_loop().time() + deadline_s
        doors = network.doors
        door = doors[self._turn % len(doors)]
        await network.travel()
        if self.is_dead or door.server is None:
            raise self._unreachable("refused")
        if not network.reaches(self._place, door):
            await asyncio.sleep(min(CONNECT_MAX_S, deadline_s))
            raise self._unreachable("no route")
        is_swallowed = network.is_silent_on_pods and _writes_pod(request)
        if network.happens(0.5 if is_swallowed else network.faults.lost_request):
            await self._silence(ends_at_s)
            raise self._unknown("lost on the way there")
        asked = replace(request, identity=self._identity)
        task = door.begin(door.server.handle(asked))
        left_s = max(0.0, ends_at_s - asyncio.get_running_loop().time())
        await asyncio.wait([task], timeout=left_s)
        if not task.done() or task.cancelled():
            raise self._unknown("no answer")
        response = task.result()
        await network.travel()
        is_lost = is_swallowed or not network.reaches(self._place, door)
        if is_lost or network.happens(network.faults.lost_reply):
            await _end(response)
            await self._silence(ends_at_s)
            raise self._unknown("lost on the way back")
        return door, response

    async def _silence(self, ends_at_s: float) -> None:
        """Wait for an answer that will not come: a reset is quick, a lost packet is not."""
        left_s = max(0.0, ends_at_s - asyncio.get_running_loop().time())
        await asyncio.sleep(min(left_s, self._network.rng.choice((0.05, 1.0, 30.0))))

    async def _stream(
        self, door: Door, life: int, body: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes]:
        try:
            while True:
                chunk = await anext(body, None)
                if door.server is None or door.life != life:
                    raise self._unknown("the server died")
                if chunk is None:
                    return
                await self._delay_chunk(door)
                yield chunk
        finally:
            await body.aclose()  # type: ignore[attr-defined]  # every stream of a server has it

    async def _delay_chunk(self, door: Door) -> None:
        network = self._network
        faults = network.faults
        if network.happens(faults.stream_cut):
            raise self._unknown("the stream was cut")
        if network.happens(faults.stream_lag):
            await asyncio.sleep(network.rng.uniform(0, faults.lag_s_max))
        waited_s = 0.0
        while not network.reaches(self._place, door):
            if waited_s > STREAM_PATIENCE_S:
                raise self._unknown("the stream timed out")
            await asyncio.sleep(0.5)
            waited_s += 0.5
        await network.travel()

    def _unreachable(self, why: str) -> Unreachable:
        self._turn += 1
        return Unreachable(why)

    def _unknown(self, why: str) -> UnknownOutcome:
        self._turn += 1
        return UnknownOutcome(why)


def _writes_pod(request: Request) -> bool:
    return request.method != "GET" and "/pods/" in request.path


async def _end(response: Response) -> None:
    if not isinstance(response.body, bytes):
        await response.body.aclose()  # type: ignore[attr-defined]  # every stream of a server has it
