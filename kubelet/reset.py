"""`python -m kubelet.reset --settings FILE`: takes everything away that the kubelet made here.

Containers, pod interfaces, routes, port rules and volumes of ours; nothing of anybody else's. The
kubelet must have been stopped. May be repeated.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.iptables import Iptables, tools_in_use
from cubernetes.host.program import CannotGoOn, main
from kubelet.network import guard
from kubelet.network.driver import NetworkTrouble
from kubelet.network.registry import NETWORKS
from kubelet.pod.volumes import VolumeTrouble
from kubelet.ports import hostports
from kubelet.run import Machine, this_machine
from kubelet.runtime.driver import Container, RuntimeDown, RuntimeTrouble
from kubelet.settings import KubeletSettings

log = Log(__name__)

GRACE_S = 2.0
PARALLEL_COUNT = 8
TOLD_MAX = 5  # obstacles, in one sentence
OBSTACLES = (RuntimeTrouble, NetworkTrouble, VolumeTrouble, CommandFailed, OSError)


async def reset(settings: KubeletSettings, env: Env) -> None:
    """Take it all away; what fails is told at the end, and the rest is still done.

    Raises: CannotGoOn: names what is left, and why. Once that is mended, reset finishes.
    """
    if settings.network not in NETWORKS:
        raise ValueError(f"network: {settings.network!r} is not one of {sorted(NETWORKS)}")
    machine = await env.blocking.run(("start", "disk"), partial(this_machine, settings, env))
    try:
        left = await take_away(machine, env)
    finally:
        await machine.runtime.close()
    if left:
        more = f"; and {len(left) - TOLD_MAX} more" if len(left) > TOLD_MAX else ""
        raise CannotGoOn("; ".join(left[:TOLD_MAX]) + more)
    log.info("node cleaned", root=Path(settings.root))


async def take_away(machine: Machine, env: Env) -> list[str]:
    """Take away what can be; return what is left, each a thing and the reason."""
    left = await _containers(machine)
    if left:
        # What a container may still write to stays, and so does its pod's folder.
        left.append("volumes: they stay as long as containers do")
    else:
        left += await _volumes(machine)
        left += await _folders(machine)
    left += await _tried("pod network", machine.network.reset)
    left += await _tried("port rules", partial(_port_rules, env))
    return left


async def _containers(machine: Machine) -> list[str]:
    try:
        found = await machine.runtime.containers()
    except RuntimeTrouble as error:
        return [f"containers: {error}"]
    gate, is_down = asyncio.Semaphore(PARALLEL_COUNT), asyncio.Event()
    tried = await asyncio.gather(*(_remove(machine, one, gate, is_down) for one in found))
    return [sentence for sentence in tried if sentence]


async def _remove(
    machine: Machine, one: Container, gate: asyncio.Semaphore, is_down: asyncio.Event
) -> str:
    """Remove one container; return why not. A runtime that is down is asked no more."""
    async with gate:
        if is_down.is_set():
            return ""
        try:
            await machine.runtime.stop(one.id, GRACE_S)
            await machine.runtime.remove(one.id)
        except RuntimeTrouble as error:
            if isinstance(error, RuntimeDown):
                is_down.set()
            return f"container {one.name} of pod {one.namespace}/{one.pod_name}: {error}"
        return ""


async def _volumes(machine: Machine) -> list[str]:
    try:
        found = await machine.volumes.pod_uids()
    except VolumeTrouble as error:
        return [str(error)]
    tried = [await _tried("", partial(machine.volumes.remove, uid)) for uid in sorted(found)]
    return [sentence for sentences in tried for sentence in sentences]


async def _folders(machine: Machine) -> list[str]:
    """Remove the volumes of claims: no cluster knows of them any more."""
    try:
        found = await machine.folders.found()
    except VolumeTrouble as error:
        return [str(error)]
    tried = [await _tried("", partial(machine.folders.remove, name)) for name in sorted(found)]
    return [sentence for sentences in tried for sentence in sentences]


async def _port_rules(env: Env) -> None:
    tools = await tools_in_use(env.commands)
    for owner in (hostports.OWNER, guard.OWNER):
        await Iptables(env.commands, tools, owner).reset()


async def _tried(what: str, work: Callable[[], Awaitable[None]]) -> list[str]:
    try:
        await work()
    except OBSTACLES as error:
        return [f"{what}: {error}" if what else str(error)]
    return []


if __name__ == "__main__":
    sys.exit(main("kubelet.reset", KubeletSettings, reset))
