"""One pod's worker: looks, plans, has the steps carried out. A stuck pod holds up nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import ApiError
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.host.timing.waiting import wait_until
from cubernetes.reconcile.plan import Record
from kubelet.eviction.verdict import EVICTED, Eviction, is_begun, may_be_evicted
from kubelet.network.driver import NetworkTrouble
from kubelet.pod import images
from kubelet.pod.acts import Acts
from kubelet.pod.decisions import memory, plan
from kubelet.pod.decisions.admission import Refusal
from kubelet.pod.decisions.memory import Memory, StartFailure
from kubelet.pod.decisions.specs import wanted_named
from kubelet.pod.ends import Ends
from kubelet.pod.messages import read_messages
from kubelet.pod.parts import Parts
from kubelet.pod.status_writer import StatusWriter
from kubelet.pod.stopping import Stopping
from kubelet.pod.volumes import UnderWay, VolumeTrouble
from kubelet.runtime.driver import SANDBOX, Container, RuntimeDown, RuntimeTrouble, State

log = Log(__name__)

TROUBLE_BASE_S = 2.0
TROUBLE_MAX_S = 60.0
UNDER_WAY_S = 0.1  # until what takes long is gone on with
VOLUMES = "VOLUMES"  # the part of a pod that is none of its containers: upper case
RETRY_MAX_S = 10.0  # between tries to reach the runtime
# What fails on this node; and whatever ends a round, to be tried again.
TROUBLES = (NetworkTrouble, RuntimeTrouble, VolumeTrouble)
HELD_UP = (*TROUBLES, ApiError, UnknownOutcome, Unreachable)


class PodWorker:
    """Runs until nothing of its pod is left on this node."""

    def __init__(self, uid: str, parts: Parts) -> None:
        self.uid = uid
        self._parts = parts
        self._pod: Pod | None = None
        self._memory = Memory()
        self._woken = asyncio.Event()
        self._acts = Acts(uid, parts, self._woken.set)
        self._writer = StatusWriter(uid, parts, self._acts.wire)
        self._stopping = Stopping(
            parts.runtime, parts.env.clock, self._woken, self._grace_left_s, self._before_stop
        )
        self._ends = Ends(parts)
        self._failure_count = 0
        self._found: Sequence[Container] = ()

    @property
    def pod(self) -> Pod | None:
        return self._pod

    def want(self, pod: Pod | None) -> None:
        """Take the newest wish; None: nobody wants this pod here any more."""
        self._pod = pod
        self._writer.follow(pod)
        if pod is None or pod.metadata.is_deleted:
            self._acts.hooks.is_ending.set()
        if pod is not None and pod.metadata.is_deleted:
            now_s = self._parts.env.clock.monotonic()
            self._memory = memory.with_deletion_heard(self._memory, now_s)
        self._woken.set()

    def refuse(self, refusal: Refusal) -> None:
        """The pod cannot begin here: it has failed, unless it has begun already."""
        pod = self._pod
        if pod is not None and self._memory.refusal != refusal:
            self._memory = replace(self._memory, refusal=refusal)
            self._parts.recorder.record(Record(pod, refusal.reason, refusal.message, "Warning"))
            self._woken.set()

    def evict(self, eviction: Eviction) -> None:
        """The pod is to be ended here, and stays as Failed; the first reason counts."""
        pod = self._pod
        if pod is not None and self._memory.eviction is None and may_be_evicted(pod):
            self._memory = replace(self._memory, eviction=eviction)
            self._parts.recorder.record(Record(pod, EVICTED, eviction.message, "Warning"))
            log.info("pod is evicted", pod=pod.ref, why=eviction.message, cause=pod.cause)
            self._acts.hooks.is_ending.set()
            self._woken.set()

    def spare(self) -> None:
        """Withdraw an eviction that has not begun."""
        pod = self._pod
        if pod is not None and not is_begun(pod):
            self._memory = replace(self._memory, eviction=None)
            if not pod.metadata.is_deleted:
                self._acts.hooks.is_ending.clear()
            self._woken.set()

    @property
    def is_ending(self) -> bool:
        """It is to be evicted, and what it holds is not given back yet."""
        return self._memory.eviction is not None and not self._memory.is_freed

    def take_news(self) -> None:
        """Something that the pod's volumes are made from has changed: what waited for it may go."""
        self._memory = memory.without_reason(self._memory, VolumeTrouble.reason)
        self._woken.set()

    def wake(self) -> None:
        """Something of the pod may have changed on this node."""
        self._woken.set()

    async def run(self) -> None:
        writing = asyncio.ensure_future(self._writer.run())
        try:
            while True:
                self._woken.clear()
                pause_s = await self._round()
                if pause_s is None:
                    return
                await wait_until(self._woken, pause_s)
        finally:
            self._acts.images.close()
            self._parts.prober.forget(self.uid)
            writing.cancel()
            await asyncio.wait([writing])

    async def _round(self) -> float | None:
        """Look, plan and act once; return seconds until the next look, None when all is gone."""
        try:
            listing = await self._parts.observer.found()
            found = self._found = listing.get(self.uid, ())
            self._acts.sandbox = plan.running_sandbox(found)
            streaks = memory.streaks_after(found, self._memory.streaks)
            pod, clock = self._pod, self._parts.env.clock
            pulling = self._acts.images.messages(pod) if pod is not None else {}
            owed = memory.owed_after(pod, found, self._memory.owed)
            self._memory = replace(self._memory, streaks=streaks, pulling=pulling, owed=owed)
            await self._look_at_health(pod, found)
            await self._read_messages(pod, found)
            if pod is not None:
                self._ends.look(pod, found, streaks)
                drained = await self._acts.draining(pod, self._memory.draining)
                self._memory = replace(self._memory, draining=drained)
            now = plan.Moment(clock.now(), clock.monotonic())
            pause_s = await self._carry_out(pod, plan.steps(pod, found, self._memory, now), found)
            self._failure_count = 0
        except HELD_UP as error:
            self._parts.counts.held_up.inc()
            self._report_ending(error)
            self._failure_count += 1
            if self._failure_count == 1:
                log.warning("pod held up", pod=self.uid, why=error, cause=self._acts.cause)
            return self._pause_s(backoff_s(self._failure_count, limit_s=RETRY_MAX_S))
        return pause_s

    async def _look_at_health(self, pod: Pod | None, found: Sequence[Container]) -> None:
        """Have what runs asked by its probes, and take what is known from them."""
        if pod is None:
            self._parts.prober.forget(self.uid)
            return
        health = self._parts.prober.follow(pod, found, await self._acts.wire.address(pod))
        self._memory = replace(self._memory, health=health)

    async def _read_messages(self, pod: Pod | None, found: Sequence[Container]) -> None:
        """Read what containers that have ended left for their status."""
        if pod is not None:
            known, parts = self._memory.messages, self._parts
            read = await read_messages(pod, found, known, parts.volumes, parts.runtime)
            self._memory = replace(self._memory, messages=read)

    def _report_ending(self, error: Exception) -> None:
        """Report what keeps a deleted pod from being gone."""
        pod = self._pod
        if pod is not None and pod.metadata.is_deleted and isinstance(error, TROUBLES):
            self._parts.recorder.record(Record(pod, "FailedKillPod", str(error), "Warning"))

    def _pause_s(self, span_s: float) -> float:
        return jittered_s(span_s, self._parts.env.rng.fraction())

    async def _carry_out(
        self, pod: Pod | None, steps: Sequence[plan.Step], found: Sequence[Container]
    ) -> float | None:
        waits_s = [step.span_s for step in steps if isinstance(step, plan.Wait)]
        acts = [step for step in steps if not isinstance(step, plan.Wait)]
        if pod is not None:
            if not await self._acts.is_wired(pod):
                await self._trying(pod, SANDBOX, partial(self._acts.rejoin_network, pod))
            is_shared, mending = pod.spec.host_network, self._parts.mending
            network = "" if is_shared else mending.trouble_of(self.uid)
            self._memory = replace(self._memory, network=network)
            await self._renew_volumes(pod, found)
            await self._writer.report(pod, found, self._memory)
        self._parts.host_ports.seen(self.uid)
        for step in acts:
            if isinstance(step, plan.Finish):
                await self._acts.finish(pod)
                return None
            log.info("step begun", step=step, pod=self.uid, cause=self._acts.cause)
            self._tell_of(pod, step, found)
            with self._parts.counts.step(type(step).__name__):
                goes_on = await self._act(pod, step)
            if not goes_on:
                break
        if acts:
            return 0.0
        # At least a tick: two clocks may disagree by a rounding.
        return max(0.01, min(waits_s)) if waits_s else self._parts.settings.relist_s * 6

    def _tell_of(self, pod: Pod | None, step: plan.Step, found: Sequence[Container]) -> None:
        """Tell of a stop, and note it, before it happens: those ends are of our own making."""
        if isinstance(step, plan.Stop):
            self._ends.stopping(step)
            if step.is_anew:
                owed = self._memory.owed.union(step.ids)
                self._memory = replace(self._memory, owed=owed)
            if pod is not None:
                self._acts.tell_of_stop(pod, step, found)

    async def _renew_volumes(self, pod: Pod, found: Sequence[Container]) -> None:
        """Bring the files of a running pod's volumes to what they are made from now."""
        runs = any(one.name != SANDBOX and one.state is State.RUNNING for one in found)
        before, now_s = self._memory.troubles.get(VOLUMES), self._parts.env.clock.monotonic()
        is_due = before is None or before.retry_at_s <= now_s
        if runs and is_due and not pod.metadata.is_deleted and self._acts.has_new_content(pod):
            await self._trying(pod, VOLUMES, partial(self._acts.prepare_volumes, pod))

    async def _act(self, pod: Pod | None, step: plan.Step) -> bool:
        """Carry out one step; False where the rest of the round makes no sense."""
        match step:
            case plan.StartSandbox(attempt) if pod is not None:
                start = partial(self._acts.start_sandbox, pod, attempt)
                return await self._trying(pod, SANDBOX, start)
            case plan.StartContainer(name, attempt, target_id) if pod is not None:
                # A container that cannot start must not keep its siblings from starting.
                start = partial(self._start_container, pod, name, attempt, target_id)
                await self._trying(pod, name, start)
            case plan.Stop(ids, grace_s, later=later):
                await self._stopping.stop(ids, grace_s, later)
            case plan.StopSandbox(container_id):
                await self._acts.stop_sandbox(container_id)
            case plan.Remove(container_id):
                await self._parts.runtime.remove(container_id)
            case plan.Free():
                await self._parts.volumes.remove(self.uid)
                self._memory = replace(self._memory, is_freed=True)
            case _:
                raise AssertionError(f"{step} cannot be carried out for {self.uid}")
        return True

    async def _start_container(self, pod: Pod, name: str, attempt: int, target_id: str) -> None:
        failed_id = await self._acts.start_container(pod, name, attempt, target_id)
        if failed_id:
            grace_s = float(pod.spec.termination_grace_period_seconds)
            stop = plan.Stop((failed_id,), grace_s, "FailedPostStartHook")
            self._ends.stopping(stop)
            await self._stopping.stop(stop.ids, grace_s)

    async def _trying(self, pod: Pod, name: str, work: Callable[[], Awaitable[object]]) -> bool:
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
            self._memory = memory.without_trouble(self._memory, name)
        return True

    def _note_trouble(self, pod: Pod, name: str, error: Exception) -> None:
        count, now_s = memory.failures_of(self._memory, name), self._parts.env.clock.monotonic()
        if isinstance(error, UnderWay):
            trouble = StartFailure(error.reason, str(error), count, now_s + UNDER_WAY_S)
            self._memory = memory.with_trouble(self._memory, name, trouble)
            return
        count += 1
        reason = type(error).__name__
        if isinstance(error, RuntimeTrouble | VolumeTrouble):
            reason = error.reason
        reason = images.reason_after(reason, count)
        pause_s = self._pause_s(backoff_s(count, base_s=TROUBLE_BASE_S, limit_s=TROUBLE_MAX_S))
        wanted = wanted_named(pod, name)
        image = wanted.image if wanted is not None else ""
        said = images.message_of(reason, image, str(error))
        trouble = StartFailure(reason, said, count, now_s + pause_s)
        self._memory = memory.with_trouble(self._memory, name, trouble)
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
        found = next((one for one in self._found if one.id == container_id), None)
        return grace_s if found is None else await self._acts.before_stop(self._pod, found, grace_s)

    def _grace_left_s(self, planned_s: float) -> float:
        now_s = self._parts.env.clock.monotonic()
        return plan.grace_by_newest_s(self._pod, planned_s, self._memory, now_s)
