"""`python -m gateway.reset --settings FILE`: takes nginx and its files away. Repeatable."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import GATEWAY_ROAD, ROAD_NAMESPACE, road_lease_name
from cubernetes.api.errors import ApiError
from cubernetes.client.connect import connect
from cubernetes.client.outcome import TransportError
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.program import CannotGoOn, main
from gateway.nginx.process import NginxTrouble
from gateway.run import nginx_of, tree_of
from gateway.settings import GatewaySettings

log = Log(__name__)

LEASE_S = 5.0


async def reset(settings: GatewaySettings, env: Env) -> None:
    """Take it all away. Raises: CannotGoOn: names what is left, and why."""
    try:
        await _leave(settings, env)
    finally:
        await _take_away(settings, env)
    log.info("gateway removed", root=settings.root)


async def _take_away(settings: GatewaySettings, env: Env) -> None:
    """Remove nginx and all files, as far as they can be. Raises: CannotGoOn: names what is left."""
    nginx = nginx_of(settings)
    files = partial(env.blocking.run, ("gateway", "disk"), tree_of(settings).remove)
    steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
        (f"container {settings.container}", nginx.remove),
        (f"image {settings.image}", nginx.remove_image),
        # The keys of certificates among them: they go whatever became of nginx.
        (f"files in {settings.root}", files),
    )
    left = []
    for name, take in steps:
        try:
            await take()
        except (NginxTrouble, OSError) as error:
            left.append(f"{name}: {error}")
    if left:
        raise CannotGoOn("; ".join(left))


async def _leave(settings: GatewaySettings, env: Env) -> None:
    """Tell the cluster, where it can be told, that this node has no gateway any more."""
    try:
        client = connect(settings.client, env, "gateway.reset")
    except OSError as error:
        # Its certificates are gone already.
        log.warning("the gateway's lease stays", error=error)
        return
    try:
        async with asyncio.timeout(LEASE_S):
            name = road_lease_name(GATEWAY_ROAD, settings.node_name)
            await client.delete(Lease, name, ROAD_NAMESPACE)
    except (ApiError, TransportError, TimeoutError) as error:
        log.warning("the gateway's lease stays", error=error)
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(main("gateway.reset", GatewaySettings, reset))
