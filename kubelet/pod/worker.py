"""One pod's worker: looks, plans, has the steps carried out. A stuck pod holds up nobody."""

import asyncio
from collections.abc import Sequence
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
from kubelet.pod.acts import Acts
from kubelet.pod.decisions import memory, plan
from kubelet.pod.decisions.admission import Refusal
from kubelet.pod.messages import read_messages
from kubelet.pod.parts import Parts
from kubelet.pod.status_writer import StatusWriter
from kubelet.pod.steps import TROUBLES, Known, Steps
from kubelet.pod.volumes import VolumeTrouble
from kubelet.runtime.driver import SANDBOX, Container, State

log = Log(__name__)

VOLUMES = "VOLUMES"  # the part of a pod that is none of its containers: upper case
RETRY_MAX_S = 10.0  # between tries to reach the runtime
# Whatever ends a round, to be tried again.
HELD_UP = (*TROUBLES, ApiError, UnknownOutcome, Unreachable)


class PodWorker:
    """Runs until nothing of its pod is left on this node."""

    def __init__(self, uid: str, parts: Parts) -> None:
        self.uid = uid
        self._parts = parts
        self._known = Known()
        self._woken = asyncio.Event()
        self._acts = Acts(uid, parts, self._woken.set)
        self._writer = StatusWriter(uid, parts, self._acts.wire)
        self._steps = Steps(parts, self._acts, self._known, self._woken)
        self._failure_count = 0

    @property
    def pod(self) -> Pod | None:
        return self._known.pod

    def want(self, pod: Pod | None) -> None:
        """Take the newest wish; None: nobody wants this pod here any more."""
        self._known.pod = pod
        self._writer.follow(pod)
        if pod is None or pod.metadata.is_deleted:
            self._acts.hooks.is_ending.set()
        if pod is not None and pod.metadata.is_deleted:
            now_s = self._parts.env.clock.monotonic()
            self._known.memory = memory.with_deletion_heard(self._known.memory, now_s)
        self._woken.set()

    def refuse(self, refusal: Refusal) -> None:
        """The pod cannot begin here: it has failed, unless it has begun already."""
        pod = self._known.pod
        if pod is not None and self._known.memory.refusal != refusal:
            self._known.memory = replace(self._known.memory, refusal=refusal)
            self._parts.recorder.record(Record(pod, refusal.reason, refusal.message, "Warning"))
            self._woken.set()

    def evict(self, eviction: Eviction) -> None:
        """The pod is to be ended here, and stays as Failed; the first reason counts."""
        pod = self._known.pod
        if pod is not None and self._known.memory.eviction is None and may_be_evicted(pod):
            self._known.memory = replace(self._known.memory, eviction=eviction)
            self._parts.recorder.record(Record(pod, EVICTED, eviction.message, "Warning"))
            log.info("pod is evicted", pod=pod.ref, why=eviction.message, cause=pod.cause)
            self._acts.hooks.is_ending.set()
            self._woken.set()

    def spare(self) -> None:
        """Withdraw an eviction that has not begun."""
        pod = self._known.pod
        if pod is not None and not is_begun(pod):
            self._known.memory = replace(self._known.memory, eviction=None)
            if not pod.metadata.is_deleted:
                self._acts.hooks.is_ending.clear()
            self._woken.set()

    @property
    def is_ending(self) -> bool:
        """It is to be evicted, and what it holds is not given back yet."""
        return self._known.memory.eviction is not None and not self._known.memory.is_freed

    def take_news(self) -> None:
        """Something that the pod's volumes are made from has changed: what waited for it may go."""
        self._known.memory = memory.without_reason(self._known.memory, VolumeTrouble.reason)
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
            found = (await self._parts.observer.listing()).of_pod(self.uid)
            known, clock = self._known, self._parts.env.clock
            pod = known.pod
            known.found = found
            self._acts.sandbox = plan.running_sandbox(found)
            streaks = memory.streaks_after(found, known.memory.streaks)
            pulling = self._acts.images.messages(pod) if pod is not None else {}
            owed = memory.owed_after(pod, found, known.memory.owed)
            known.memory = replace(known.memory, streaks=streaks, pulling=pulling, owed=owed)
            await self._look_at_health(pod, found)
            await self._read_messages(pod, found)
            if pod is None:
                await self._steps.ends.close()
            else:
                known.memory = memory.without_corrected(known.memory, pod)
                await self._steps.ends.look(pod, found, streaks)
                drained = await self._acts.draining(pod, known.memory.draining)
                known.memory = replace(known.memory, draining=drained)
            now = plan.Moment(clock.now(), clock.monotonic())
            steps = plan.steps(pod, found, known.memory, now)
            pause_s = self._steps.ends.pause_s(await self._carry_out(pod, steps, found))
            await self._steps.ends.keep()
            self._failure_count = 0
        except HELD_UP as error:
            self._parts.counts.held_up.inc()
            self._steps.report_ending(error)
            self._failure_count += 1
            if self._failure_count == 1:
                log.warning("pod held up", pod=self.uid, why=error, cause=self._acts.cause)
            span_s = backoff_s(self._failure_count, limit_s=RETRY_MAX_S)
            return jittered_s(span_s, self._parts.env.rng.fraction())
        return pause_s

    async def _look_at_health(self, pod: Pod | None, found: Sequence[Container]) -> None:
        """Have what runs asked by its probes, and take what is known from them."""
        if pod is None:
            self._parts.prober.forget(self.uid)
            return
        health = self._parts.prober.follow(pod, found, await self._acts.wire.address(pod))
        self._known.memory = replace(self._known.memory, health=health)

    async def _read_messages(self, pod: Pod | None, found: Sequence[Container]) -> None:
        """Read what containers that have ended left for their status."""
        if pod is not None:
            known, parts = self._known.memory.messages, self._parts
            read = await read_messages(pod, found, known, parts.volumes, parts.runtime)
            self._known.memory = replace(self._known.memory, messages=read)

    async def _carry_out(
        self, pod: Pod | None, steps: Sequence[plan.Step], found: Sequence[Container]
    ) -> float | None:
        waits_s = [step.span_s for step in steps if isinstance(step, plan.Wait)]
        acts = [step for step in steps if not isinstance(step, plan.Wait)]
        if pod is not None:
            if not await self._acts.is_wired(pod):
                await self._steps.trying(pod, SANDBOX, partial(self._acts.rejoin_network, pod))
            network = "" if pod.spec.host_network else self._parts.mending.trouble_of(self.uid)
            self._known.memory = replace(self._known.memory, network=network)
            await self._renew_volumes(pod, found)
            await self._writer.report(pod, found, self._known.memory)
        self._parts.host_ports.seen(self.uid)
        for step in acts:
            if isinstance(step, plan.Finish):
                await self._acts.finish(pod)
                return None
            if not await self._steps.carry_out(pod, step):
                break
        if acts:
            return 0.0
        # At least a tick: two clocks may disagree by a rounding.
        return max(0.01, min(waits_s)) if waits_s else self._parts.settings.relist_s * 6

    async def _renew_volumes(self, pod: Pod, found: Sequence[Container]) -> None:
        """Bring the files of a running pod's volumes to what they are made from now."""
        runs = any(one.name != SANDBOX and one.state is State.RUNNING for one in found)
        before, now_s = self._known.memory.troubles.get(VOLUMES), self._parts.env.clock.monotonic()
        is_due = before is None or before.retry_at_s <= now_s
        if runs and is_due and not pod.metadata.is_deleted and self._acts.has_new_content(pod):
            await self._steps.trying(pod, VOLUMES, partial(self._acts.prepare_volumes, pod))
