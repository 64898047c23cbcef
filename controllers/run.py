"""The controllers of one cluster: the leader runs them all, in the loop of cubernetes.reconcile."""

from pathlib import Path

import msgspec

from controllers.registry import CONTROLLERS
from controllers.settings import ControllersSettings
from cubernetes.client.connect import connect
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.reconcile.lease import run_as_leader
from cubernetes.reconcile.run import LoopSettings, run_planners
from cubernetes.reconcile.tsdbsource import metric_source


async def run(settings: ControllersSettings, env: Env, client: Client | None = None) -> None:
    """Keep the cluster as it is wanted, until cancelled."""
    if client is None and not settings.root_ca:
        read = Path(settings.client.ca).read_text
        root_ca = await env.blocking.run(("controllers", "ca"), read)
        settings = msgspec.structs.replace(settings, root_ca=root_ca)
    own = client or connect(settings.client, env, "controllers")

    async def work(leading: Client) -> None:
        # What planners remember ends with the leadership: another may have led meanwhile.
        planners = [make(settings) for make in CONTROLLERS]
        loop = LoopSettings(component="controllers", worker_count=settings.worker_count)
        async with metric_source(settings.metrics_url) as source:
            await run_planners(planners, leading, env, loop, source)

    try:
        await run_as_leader(settings.lease, "controllers", own, env, work)
    finally:
        if client is None:
            await own.close()
