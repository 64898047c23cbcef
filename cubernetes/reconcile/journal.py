"""Numbers that planners keep: sent to the store of samples behind the work, never waited for.

They wait in a bounded place while the store is away; the oldest go first, and are counted.
"""

import asyncio
from collections import deque
from collections.abc import Mapping

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Keep
from cubernetes.reconcile.readings import SampleStore, SourceTrouble

log = Log(__name__)

WAITING_MAX = 50_000
LINES_MAX = 5_000  # of one request
FLUSH_S = 1.0
DEADLINE_S = 5.0


class Journal:
    """One for a program; without a store it keeps nothing."""

    def __init__(self, store: SampleStore | None, env: Env) -> None:
        self._store, self._env = store, env
        self._waiting: deque[str] = deque()
        self._is_failing = False
        text = "Numbers of decisions that were not kept, as the store was away for too long."
        self._lost = env.metrics.counter("cube_loop_numbers_lost_total", text)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def keep(self, action: Keep) -> None:
        if self._store is None:
            return
        at_ms = round(self._env.clock.now().timestamp() * 1000)
        for number in action.numbers:
            labels = _labels(number.labels)
            self._waiting.append(f"{action.series}{{{labels}}} {number.value!r} {at_ms}\n")
        while len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self._lost.inc()

    async def run(self) -> None:
        while self._store is not None:
            await self._env.clock.sleep(FLUSH_S)
            while self._waiting and await self._sent(self._store):
                pass

    async def _sent(self, store: SampleStore) -> bool:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), LINES_MAX))]
        try:
            async with asyncio.timeout(DEADLINE_S):
                await store.push("".join(batch))
        except (SourceTrouble, TimeoutError) as error:
            if not self._is_failing:
                log.warning("decisions wait: the store does not take them", reason=error)
            self._is_failing = True
            self._waiting.extendleft(reversed(batch))
            return False
        self._is_failing = False
        return True


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={_quoted(text)}" for name, text in sorted(labels.items()))


def _quoted(text: str) -> str:
    for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        text = text.replace(letter, written)
    return f'"{text}"'
