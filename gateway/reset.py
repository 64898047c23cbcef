"""`python -m gateway.reset --settings FILE`: takes nginx and its files away. Repeatable."""

import asyncio
import sys
from functools import partial

from cubernetes.api.coordination.lease import Lease
from cubernetes.api.coordination.road import GATEWAY_ROAD, ROAD_NAMESPACE, road_lease_name
from cubernetes.api.errors import ApiError
from cubernetes.client.connect import connect
from cubernetes.client.outcome import Trouble
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
    await _leave(settings, env)
    try:
        nginx = nginx_of(settings)
        await nginx.remove()
        await nginx.remove_image()
        await env.blocking.run(("gateway", "disk"), partial(tree_of(settings).remove))
    except (NginxTrouble, OSError) as error:
        raise CannotGoOn(f"container {settings.container}: {error}") from error
    log.info("gateway removed", root=settings.root)


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
    except (ApiError, Trouble, TimeoutError) as error:
        log.warning("the gateway's lease stays", error=error)
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(main("gateway.reset", GatewaySettings, reset))
