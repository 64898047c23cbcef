"""Tells of a pod's containers that ended otherwise than well: an Event and a record of each end."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from cubernetes.api.bodies.postmortem import PostMortem
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from kubelet.keptlogs.retention import Life, life_of
from kubelet.pod.decisions import plan
from kubelet.pod.decisions.memory import CrashStreak
from kubelet.pod.decisions.postmortem import NEWS_S, Memory, is_abnormal, is_told, story_of
from kubelet.pod.decisions.specs import wanted_named
from kubelet.pod.images import container_path
from kubelet.pod.parts import Parts
from kubelet.runtime.driver import Container, LogOptions, RuntimeDown, RuntimeTrouble, State

log = Log(__name__)

REASON = "ContainerDied"
# Of a log, in the record of an end.
LINES, LOG_BYTES_MAX, LOG_DEADLINE_S = 20, 8 * 1024, 2.0


class _End(NamedTuple):
    """An end, and what was known when it was seen: of it, not of what runs in its place.

    due_s: when it is told at the latest, on the monotonic clock.
    """

    pod: Pod
    found: Container
    wanted: Wanted
    memory: Memory
    pressures: Sequence[str]
    probe: str
    due_s: float
    is_told: bool = False


class Ends:
    """Of one pod. What had ended before this kubelet began was told then, or nobody saw it.

    That memory was the reason may be heard after the end itself. So an end is told once that is
    said, or NEWS_S after it was seen; what is heard later still is told, too.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ended: frozenset[str] | None = None
        # Containers that the kubelet itself stops: why a probe wanted it, empty for other reasons.
        self._stopped: dict[str, str] = {}
        self._open: dict[str, _End] = {}
        self._unkept: list[tuple[Life, PostMortem]] = []

    def stopping(self, step: plan.Stop) -> None:
        """The kubelet is about to stop these."""
        why = step.why if step.is_unhealthy else ""
        self._stopped |= dict.fromkeys((*step.ids, *step.later), why)

    async def look(
        self, pod: Pod, found: Sequence[Container], streaks: Mapping[str, CrashStreak]
    ) -> None:
        """Tell of what has ended since the last look."""
        before = self._ended
        self._ended = frozenset(one.id for one in found if one.state is State.EXITED)
        here = {one.id: one for one in found}
        for one in found:
            if before is None or one.id in before or pod.metadata.is_deleted:
                continue
            if is_abnormal(one) and self._stopped.get(one.id) != "":
                await self._note(pod, one, streaks.get(one.name))
        for end in list(self._open.values()):
            await self._look_at(end, here.get(end.found.id), is_last=pod.metadata.is_deleted)
        self._stopped = {key: why for key, why in self._stopped.items() if key in here}

    async def close(self) -> None:
        """Tell of what is not told yet: the pod is gone."""
        for end in list(self._open.values()):
            await self._look_at(end, None, is_last=True)

    def pause_s(self, longest_s: float | None) -> float | None:
        """Return when to look again: no later than an end is to be told."""
        dues_s = [one.due_s for one in self._open.values() if not one.is_told]
        if longest_s is None or not dues_s:
            return longest_s
        return max(0.0, min(longest_s, min(dues_s) - self._parts.env.clock.monotonic()))

    async def _note(self, pod: Pod, one: Container, streak: CrashStreak | None) -> None:
        wanted = wanted_named(pod, one.name)
        if wanted is None or not is_told(streak.count if streak is not None else 1):
            return
        memory = Memory(
            self._parts.memory_samples(one.id), await self._parts.memory_peak(pod.metadata.uid)
        )
        probe, now_s = self._stopped.get(one.id, ""), self._parts.env.clock.monotonic()
        due_s = now_s if probe else now_s + NEWS_S
        self._open[one.id] = _End(pod, one, wanted, memory, self._parts.pressures(), probe, due_s)

    async def _look_at(self, end: _End, here: Container | None, *, is_last: bool) -> None:
        """Tell of an end if it is time; forget it once nothing more can be heard of it."""
        newest, now_s = here or end.found, self._parts.env.clock.monotonic()
        is_due = now_s >= end.due_s or here is None or is_last
        if newest.oom_killed or (is_due and not end.is_told):
            story = story_of(newest, end.wanted, end.memory, end.pressures, end.probe)
            path = container_path(end.pod, newest.name)
            self._parts.recorder.record(Record(end.pod, REASON, story, "Warning", path))
            self._unkept.append(await self._record_of(end.pod, newest, story))
            self._open[newest.id] = end._replace(is_told=True)
        if newest.oom_killed or here is None:
            del self._open[newest.id]

    async def keep(self) -> None:
        """Write on this node what was told, once the pod has what it needs: a disk may hang."""
        while self._unkept:
            await self._parts.kept_logs.stories.keep(*self._unkept.pop(0))

    async def _record_of(self, pod: Pod, ended: Container, story: str) -> tuple[Life, PostMortem]:
        """Return the record of an end; its last lines are read now, as its log may go."""
        life = life_of(ended, pod)
        return life, PostMortem(
            uid=life.uid,
            made_at=life.made_at,
            container=life.container,
            attempt=life.attempt,
            ended_at=ended.finished_at,
            exit_code=ended.exit_code,
            signal=ended.signal,
            story=story,
            log=await self._last_lines(ended.id),
        )

    async def _last_lines(self, container_id: str) -> tuple[str, ...]:
        """Return the end of a container's log, as far as it can be read now."""
        text = b""
        try:
            async with asyncio.timeout(LOG_DEADLINE_S):
                options = LogOptions(tail_count=LINES)
                async with aclosing(self._parts.runtime.logs(container_id, options)) as pieces:
                    async for piece in pieces:
                        text = (text + piece)[-LOG_BYTES_MAX:]
        except (RuntimeTrouble, RuntimeDown, TimeoutError) as error:
            log.warning("log of an end not read", container=container_id, why=error)
        return tuple(text.decode(errors="backslashreplace").splitlines()[-LINES:])
