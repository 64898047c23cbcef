"""`python -m kubelet.reset --settings FILE`: takes everything away that the kubelet made here.

Containers, pod interfaces, routes, port rules and volumes of ours; nothing of anybody else's. The
kubelet must have been stopped. May be repeated.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from cubernetes.host.iptables import Iptables, tools_in_use
from cubernetes.host.log import Log
from cubernetes.host.program import main
from kubelet.hostports import OWNER
from kubelet.network.registry import NETWORKS
from kubelet.run import Machine, this_machine
from kubelet.runtime.driver import Container
from kubelet.settings import KubeletSettings

log = Log(__name__)

GRACE_S = 2.0
PARALLEL_COUNT = 8


async def reset(settings: KubeletSettings, env: Env) -> None:
    """Take it all away; what fails is told, and the rest is still done."""
    if settings.network not in NETWORKS:
        raise ValueError(f"network: {settings.network!r} is not one of {sorted(NETWORKS)}")
    machine = await env.blocking.run(("start", "disk"), partial(this_machine, settings, env))
    try:
        containers = await machine.runtime.containers()
        gate = asyncio.Semaphore(PARALLEL_COUNT)
        await asyncio.gather(*(_remove(machine, one, gate) for one in containers))
        for uid in sorted(await machine.volumes.pod_uids()):
            await machine.volumes.remove(uid)
        await machine.network.reset()
        tools = await tools_in_use(env.commands)
        await Iptables(env.commands, tools, OWNER).reset()
        log.info("node cleaned", containers=len(containers), root=Path(settings.root))
    finally:
        await machine.runtime.close()


async def _remove(machine: Machine, one: Container, gate: asyncio.Semaphore) -> None:
    async with gate:
        await machine.runtime.stop(one.id, GRACE_S)
        await machine.runtime.remove(one.id)


if __name__ == "__main__":
    sys.exit(main("kubelet.reset", KubeletSettings, reset))
