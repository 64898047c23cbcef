"""Carries out what differs in a node's network namespace, and tells failure in our words."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from cubernetes.host.blocking import Blocking
from kubelet.network import facts, links
from kubelet.network.driver import Damage, NetworkTrouble
from kubelet.network.facts import Facts
from kubelet.network.namespace import netlink
from kubelet.network.rtnetlink import NetlinkError

DEADLINE_S = 15.0
LOOK = ("network", "look")


async def off[**P, T](
    blocking: Blocking, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Look in a thread: a hundred pods must not hold up the loop."""
    return await blocking.run(LOOK, partial(look, *args, **kwargs))


@asynccontextmanager
async def act(
    what: str, lock: AbstractAsyncContextManager[None], deadline_s: float = DEADLINE_S
) -> AsyncGenerator[None, None]:
    """Do one thing at a time, within the deadline, and tell failure in the kubelet's words."""
    try:
        async with asyncio.timeout(deadline_s), lock:
            yield
    except TimeoutError as error:
        raise NetworkTrouble(f"{what}: no end after {deadline_s:.0f} s") from error
    except (NetlinkError, OSError) as error:
        raise NetworkTrouble(f"{what}: {error}") from error


async def carry_out(acts: Sequence[facts.Act], netns: str, pod_handle: int | None = None) -> None:
    """Carry out every act that can be; raise the first failure when all were tried.

    pod_handle: of the namespace of the pod that the acts are about; none: they are the node's.
    """
    if not acts:
        return
    failures: list[NetlinkError | OSError] = []
    async with _reach(netns, pod_handle) as reach:
        for one in acts:
            try:
                await links.carry_out(one, reach)
            except (NetlinkError, OSError) as error:
                failures.append(error)
    if failures:
        raise failures[0]


async def mended(
    uid: str, sides: tuple[Facts, Facts], netns: str, pod_handle: int | None = None
) -> list[Damage]:
    """Carry out the difference; tell it, and why it is still there where it is."""
    acts = facts.acts(*sides)
    if not acts:
        return []
    try:
        await carry_out(acts, netns, pod_handle)
    except (NetlinkError, OSError) as error:
        return [Damage(facts.told(acts), uid, why=str(error))]
    return [Damage(facts.told(acts), uid)]


@asynccontextmanager
async def _reach(netns: str, pod_handle: int | None) -> AsyncGenerator[links.Reach, None]:
    async with netlink(netns) as node:
        if pod_handle is None:
            yield links.Reach(netns, node)
            return
        async with netlink(f"/proc/self/fd/{pod_handle}") as pod:
            yield links.Reach(netns, node, pod, pod_handle)
