"""`python -m serverless.reset --settings FILE`: takes instances and files away. Repeatable."""

import asyncio
import shutil
import sys
from functools import partial
from pathlib import Path

from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.client.connect import connect
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.program import main
from serverless.brain.naming import INSTANCES_NAMESPACE
from serverless.bus.bus import BusTrouble
from serverless.bus.kafka import KafkaBus
from serverless.durable.records import is_ours
from serverless.settings import BusSettings, ServerlessSettings

log = Log(__name__)

API_S = 20.0
LOOK_S = 0.2


async def reset(settings: ServerlessSettings, env: Env) -> None:
    """Take it all away. Functions and routes stay: they are the users'."""
    try:
        client = connect(settings.client, env, "serverless.reset")
    except OSError as error:
        # Its certificates are gone already.
        log.warning("the instances stay", why=error)
    else:
        try:
            async with asyncio.timeout(API_S):
                await _take_instances(client, env)
        except (ApiError, TransportError, TimeoutError) as error:
            log.warning("instances are left", namespace=INSTANCES_NAMESPACE, why=error)
        finally:
            await client.close()
    if settings.bus is not None and settings.bus.is_others:
        await _take_topics(settings.bus, env)
    root = Path(settings.root)
    remove = partial(shutil.rmtree, root, ignore_errors=True)
    await env.blocking.run(("serverless", "files"), remove)
    log.info("serverless removed", root=root)


async def _take_topics(brokers: BusSettings, env: Env) -> None:
    """Remove our topics from brokers that others use too (W45: all topics went)."""
    bus = KafkaBus(brokers, env.blocking)
    try:
        for name in sorted(await bus.topics()):
            if is_ours(name):
                await bus.remove(name)
    except BusTrouble as error:
        log.warning("topics are left", brokers=brokers.brokers, why=error)
    finally:
        await bus.close()


async def _take_instances(client: Client, env: Env) -> None:
    """Delete the namespace of the instances, and wait until they have ended."""
    try:
        await client.delete(Namespace, INSTANCES_NAMESPACE)
    except NotFound:
        return
    while (await client.list(Pod, INSTANCES_NAMESPACE)).items:
        await env.clock.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main("serverless.reset", ServerlessSettings, reset))
