"""What stands behind each line of the engine's list: asked only where that may be news.

A container that the engine cannot tell of holds up its own pod and no other. It is asked for beside
the lists that come meanwhile, which do not wait for it; what it is then, a later list has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from kubelet.runtime.docker_api import Silent
from kubelet.runtime.driver import (
    Container,
    PartlySilent,
    RuntimeDown,
    RuntimeTrouble,
    State,
)
from kubelet.runtime.found.witness import Processes, Witness

ASKED_AT_ONCE = 8
# So long a list waits for what an engine that is busy says of one container.
LOOK_S = 3.0
# So often within that time a turn is free again, also where all that have one hang.
TURNS_PER_LOOK = 3


class Line(NamedTuple):
    """A container as the list has it."""

    state: str
    pod_uid: str


class Looks:
    """Remembers what each container is, until its line, an event or its process says otherwise."""

    def __init__(
        self,
        witness: Witness,
        inspected: Callable[[str], Awaitable[Container | None]],
        look_s: float = LOOK_S,
    ) -> None:
        """inspected asks the engine for one by its id; None: there is no such container."""
        self._witness, self._inspected, self._look_s = witness, inspected, look_s
        self._known: dict[str, tuple[str, Container]] = {}  # id -> the list's state, what it is
        self._turns = asyncio.Semaphore(ASKED_AT_ONCE)
        # Those for which an earlier list has waited long enough.
        self._overdue: dict[str, asyncio.Task[Container | None]] = {}

    @property
    def known(self) -> Sequence[Container]:
        return [container for _, container in self._known.values()]

    def of(self, container_id: str) -> Container | None:
        """Return what is remembered of one."""
        return self._known.get(container_id, ("", None))[1]

    def remember(self, container: Container) -> None:
        self._known[container.id] = container.state.value, container

    def forget(self, container_id: str) -> None:
        self._known.pop(container_id, None)

    async def all_of(self, listed: Mapping[str, Line]) -> Sequence[Container]:
        """Return what the containers of a list are, by their ids in order; those gone are left out.

        Raises:
            RuntimeDown: the engine is away.
            PartlySilent: it did not tell of some; the error has the others.
        """
        self._known = {key: known for key, known in self._known.items() if key in listed}
        self._witness.forget_all_but(set(listed))
        seen = await self._witness.look(self.known)
        asked = {
            key: asyncio.ensure_future(self._looked_up(key, line.state, seen))
            for key, line in sorted(listed.items())
            if key not in self._overdue
        }
        try:
            if asked:
                await asyncio.wait(asked.values(), timeout=self._look_s)
        except BaseException:
            await _ended(asked.values())
            raise
        # Those that were overdue at the beginning are not told of, also where they came meanwhile.
        why = {
            line.pod_uid: "it is still asked" for key, line in listed.items() if key not in asked
        }
        return self._told(listed, asked, why)

    async def close(self) -> None:
        """Ask for nothing any more."""
        await _ended(self._overdue.values())

    def _told(
        self,
        listed: Mapping[str, Line],
        asked: Mapping[str, asyncio.Task[Container | None]],
        why: dict[str, str],
    ) -> Sequence[Container]:
        found: list[Container] = []
        troubles: list[BaseException] = []
        for key, task in asked.items():
            pod_uid = listed[key].pod_uid
            if not task.done():
                why[pod_uid] = "no answer in time"
                self._overdue[key] = task
                task.add_done_callback(partial(self._came, key))
            elif (trouble := task.exception()) is None:
                one = task.result()
                found += [one] if one is not None else []
            elif _is_of_one(trouble):
                why[pod_uid] = str(trouble)
            else:
                troubles.append(trouble)
        if troubles:
            raise troubles[0]
        if why:
            raise PartlySilent(found, why)
        return found

    def _came(self, container_id: str, ended: asyncio.Task[Container | None]) -> None:
        """Take note that one that was overdue has been told of, or will not be."""
        del self._overdue[container_id]
        if not ended.cancelled():
            ended.exception()  # a later list asks again, and tells it then

    async def _looked_up(self, container_id: str, listed: str, seen: Processes) -> Container | None:
        state, known = self._known.get(container_id, ("", None))
        if known is not None and state == listed and not self._witness.misses(known, seen):
            return known
        found = await self._in_turn(container_id)
        if found is None:  # removed since the list was made
            return None
        # A container that was never started may still fail to, which the list does not show.
        if found.state.value == listed != State.CREATED.value:
            self._known[container_id] = listed, found
        return await self.judged(found)

    async def _in_turn(self, container_id: str) -> Container | None:
        """Inspect one; where that takes long it goes on beside the turns, and takes nobody's."""
        async with self._turns:
            asking = asyncio.ensure_future(self._inspected(container_id))
            try:
                await asyncio.wait([asking], timeout=self._look_s / TURNS_PER_LOOK)
            except BaseException:
                await _ended([asking])
                raise
        return await asking

    async def judged(self, found: Container) -> Container:
        """Return the container as it is, whatever the engine calls it."""
        return self._witness.verdict(found, await self._witness.look([found]))


def _is_of_one(trouble: BaseException) -> bool:
    """Whether the engine does not tell of one container, and is not away for all."""
    is_away = isinstance(trouble, RuntimeDown) and not isinstance(trouble, Silent)
    return isinstance(trouble, RuntimeTrouble) and not is_away


async def _ended(tasks: Iterable[asyncio.Task[Container | None]]) -> None:
    for task in (every := list(tasks)):
        task.cancel()
    await asyncio.gather(*every, return_exceptions=True)
