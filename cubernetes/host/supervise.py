"""Keeping a task alive over its own bugs: the story is logged, and it begins again."""

import asyncio
from collections.abc import Awaitable, Callable

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s

log = Log(__name__)


class BeginAnew(Exception):
    """What this process knows is of another world: nothing but a new process will do.

    A task's supervisor lets it pass, so that the program ends and is started anew.
    """


HEALTHY_S = 60.0  # a task that ran this long begins a new streak of failures


async def supervised[T](name: str, work: Callable[[], Awaitable[T]], env: Env) -> T:
    """Await work; where it raises, tell why and begin it again after a back-off.

    Returns what work returns. Cancelling ends it as usual, and so does BeginAnew.
    """
    failure_count = 0
    while True:
        begun_at = env.clock.monotonic()
        try:
            return await work()
        except (asyncio.CancelledError, BeginAnew):
            raise
        except Exception as error:  # noqa: BLE001  a bug must not take its neighbours down
            if env.clock.monotonic() - begun_at > HEALTHY_S:
                failure_count = 0
            failure_count += 1
            log.bug("task failed", error, task=name, failures=failure_count)
        pause_s = jittered_s(backoff_s(failure_count), env.rng.fraction())
        await env.clock.sleep(pause_s)
