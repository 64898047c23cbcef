"""Carries out the steps of one pod's plan, and notes what of the pod could not be done."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from cubernetes.api.core.pod import Pod
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.reconcile.plan import Record
from kubelet.network.driver import NetworkTrouble
from kubelet.pod import images
from kubelet.pod.acts import Acts
from kubelet.pod.decisions import memory, plan
from kubelet.pod.decisions.memory import Memory, StartFailure
from kubelet.pod.decisions.specs import wanted_named
from kubelet.pod.ends import Ends
from kubelet.pod.parts import Parts
from kubelet.pod.stopping import Stopping
from kubelet.pod.volumes import UnderWay, VolumeTrouble
from kubelet.runtime.driver import SANDBOX, Container, RuntimeDown, RuntimeTrouble

log = Log(__name__)

TROUBLE_BASE_S = 2.0
TROUBLE_MAX_S = 60.0
UNDER_WAY_S = 0.1  # until what takes long is gone on with
# What fails on this node.
TROUBLES = (NetworkTrouble, RuntimeTrouble, VolumeTrouble)


@dataclass(slots=True)
class Known:
    """What a worker knows of its pod: the newest wish, what the runtime has, what it remembers."""

    pod: Pod | None = None
    found: Sequence[Container] = ()
    memory: Memory = field(default_factory=Memory)


class Steps:
    """Of one pod. woken: set when the pod may be wanted otherwise."""

    def __init__(self, parts: Parts, acts: Acts, known: Known, woken: asyncio.Event) -> None:
        self._parts, self._acts, self._known = parts, acts, known
        self.ends = Ends(parts)
        self._stopping = Stopping(
            parts.runtime, parts.env.clock, woken, self._grace_left_s, self._before_stop
        )

    async def carry_out(self, pod: Pod | None, step: plan.Step) -> bool:
        """Carry out one step; False where the rest of the round makes no sense.

        Raises: RuntimeTrouble, NetworkTrouble, VolumeTrouble: unless it concerns one part alone.
        """
        log.info("step begun", step=step, pod=self._acts.uid, cause=self._acts.cause)
        self._tell_of(pod, step)
        with self._parts.counts.step(type(step).__name__):
            return await self._act(pod, step)

    async def trying(self, pod: Pod, name: str, work: Callable[[], Awaitable[object]]) -> bool:
        """Do the work of one part of the pod; note its trouble, False, where it fails."""
        try:
            await work()
        except RuntimeDown:
            raise
        except TROUBLES as error:
            self._note_trouble(pod, name, error)
            return False
        # What waits for its image has not been started yet.
        if name not in self._acts.images.messages(pod):
            self._known.memory = memory.without_trouble(self._known.memory, name)
        return True

    def _tell_of(self, pod: Pod | None, step: plan.Step) -> None:
        """Tell of a stop, and note it, before it happens: those ends are of our own making."""
        if isinstance(step, plan.Stop):
            self.ends.stopping(step)
            if step.is_anew:
                owed = self._known.memory.owed.union(step.ids)
                self._known.memory = replace(self._known.memory, owed=owed)
            if pod is not None:
                self._acts.tell_of_stop(pod, step, self._known.found)

    async def _act(self, pod: Pod | None, step: plan.Step) -> bool:
        match step:
            case plan.StartSandbox(attempt) if pod is not None:
                start = partial(self._acts.start_sandbox, pod, attempt)
                return await self.trying(pod, SANDBOX, start)
            case plan.StartContainer(name, attempt, target_id) if pod is not None:
                # A container that cannot start must not keep its siblings from starting.
                start = partial(self._start_container, pod, name, attempt, target_id)
                await self.trying(pod, name, start)
            case plan.Stop(ids, grace_s, later=later):
                await self._stopping.stop(ids, grace_s, later)
            case plan.StopSandbox(container_id):
                await self._acts.stop_sandbox(container_id)
            case plan.Remove(container_id):
                await self._remove(container_id)
            case plan.Free():
                await self._parts.volumes.remove(self._acts.uid)
                self._known.memory = replace(self._known.memory, is_freed=True)
            case _:
                raise AssertionError(f"{step} cannot be carried out for {self._acts.uid}")
        return True

    async def _remove(self, container_id: str) -> None:
        for one in self._known.found:
            if one.id == container_id:
                await self._parts.kept_logs.keep(one, self._known.pod)
        await self._parts.runtime.remove(container_id)

    async def _start_container(self, pod: Pod, name: str, attempt: int, target_id: str) -> None:
        failed_id = await self._acts.start_container(pod, name, attempt, target_id)
        if failed_id:
            grace_s = float(pod.spec.termination_grace_period_seconds)
            stop = plan.Stop((failed_id,), grace_s, "FailedPostStartHook")
            self.ends.stopping(stop)
            await self._stopping.stop(stop.ids, grace_s)

    def report_ending(self, error: Exception) -> None:
        """Report what keeps a deleted pod from being gone."""
        pod = self._known.pod
        if pod is not None and pod.metadata.is_deleted and isinstance(error, TROUBLES):
            self._parts.recorder.record(Record(pod, "FailedKillPod", str(error), "Warning"))

    def _note_trouble(self, pod: Pod, name: str, error: Exception) -> None:
        known, now_s = self._known, self._parts.env.clock.monotonic()
        count = memory.failures_of(known.memory, name)
        wanted = wanted_named(pod, name)
        image = wanted.image if wanted is not None else ""
        if isinstance(error, UnderWay):
            trouble = StartFailure(error.reason, str(error), count, now_s + UNDER_WAY_S, image)
            known.memory = memory.with_trouble(known.memory, name, trouble)
            return
        count += 1
        reason = type(error).__name__
        if isinstance(error, RuntimeTrouble | VolumeTrouble):
            reason = error.reason
        reason = images.reason_after(reason, count)
        longest_s = backoff_s(count, base_s=TROUBLE_BASE_S, limit_s=TROUBLE_MAX_S)
        pause_s = jittered_s(longest_s, self._parts.env.rng.fraction())
        said = images.message_of(reason, image, str(error))
        trouble = StartFailure(reason, said, count, now_s + pause_s, image)
        known.memory = memory.with_trouble(known.memory, name, trouble)
        self._parts.counts.trouble(reason)
        log.warning("part of a pod not started", pod=pod.ref, part=name, why=error, cause=pod.cause)
        if isinstance(error, VolumeTrouble):
            self._parts.recorder.record(Record(pod, "FailedMount", str(error), "Warning"))
            return
        path = "" if name == SANDBOX else images.container_path(pod, name)
        message = f"{name}: {error}"
        if reason in (images.PULL_FAILED, images.PULL_BACK_OFF):
            message = f'Failed to pull image "{image}": {error}'
        self._parts.recorder.record(Record(pod, "Failed", message, "Warning", path))

    async def _before_stop(self, container_id: str, grace_s: float) -> float:
        found = next((one for one in self._known.found if one.id == container_id), None)
        if found is None:
            return grace_s
        return await self._acts.before_stop(self._known.pod, found, grace_s)

    def _grace_left_s(self, planned_s: float) -> float:
        now_s = self._parts.env.clock.monotonic()
        return plan.grace_by_newest_s(self._known.pod, planned_s, self._known.memory, now_s)
