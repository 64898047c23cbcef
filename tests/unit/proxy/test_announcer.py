"""The announcer's loop beside a kernel that refuses, on a clock that passes as it sleeps."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from cubernetes.api.coding import codec
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.service import ANNOUNCED, Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Object, replaced
from cubernetes.client.informer import Informer
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed, Completed
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response
from proxy.announce.run import Announcer
from tests.clocks import SteppedClock
from tests.given import a_condition, a_node
from tests.scripted import listed, ok
from tests.unit.proxy.services.doors import POOLED, a_door

SPAN_S = 60.0


class Refusing:
    """A kernel that takes no address."""

    def __init__(self) -> None:
        self.ran_count = 0

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", deadline_s: float = 30.0
    ) -> Completed:
        self.ran_count += 1
        raise CommandFailed(argv, 2, "Operation not permitted")


class QuietApi:
    """Lists that never change; a Lease that is written is listed from then on."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = objects
        self.written: list[Lease] = []

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        if request.method == "PUT":
            self.written.append(codec.decode(Lease, request.body))
            return ok(request.body)
        plural = request.path.rpartition("/")[2]
        return listed([one for one in self.objects if one.resource.plural == plural], 10)

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        return Response(200, self._silence())

    async def close(self) -> None:
        """Nothing is open."""

    async def _silence(self) -> AsyncGenerator[bytes]:
        await asyncio.get_running_loop().create_future()
        yield b""


def a_pooled_service() -> Service:
    one = a_door("LoadBalancer")
    return replaced(one, metadata=replaced(one.metadata, annotations={ANNOUNCED: POOLED}))


async def test_a_kernel_that_refuses_is_asked_less_and_less_and_the_lease_is_the_nodes() -> None:
    node = a_node("n1")
    ready = replaced(node.status, conditions=(a_condition("Ready", "True"),))
    node = replaced(node, status=ready)
    api, kernel, clock = QuietApi([a_pooled_service(), node]), Refusing(), SteppedClock()
    env = Env(commands=kernel, clock=clock)
    client = Client(api, env)
    services, slices = Informer(client, Service, env), Informer(client, EndpointSlice, env)
    announcer = Announcer(client, env, "n1", services, slices)
    tasks = [asyncio.ensure_future(one.run()) for one in (services, slices, announcer)]
    async with asyncio.timeout(60):
        while clock.passed_s < SPAN_S:  # noqa: ASYNC110  a clock of paper tells nobody
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    # A look each 0.2 s would be 300.
    assert 0 < kernel.ran_count < 30
    (owner,) = api.written[-1].metadata.owner_references
    assert (owner.kind, owner.name, owner.controller) == ("Node", "n1", False)
