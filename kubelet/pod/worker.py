"""One pod's worker: plans, carries the steps out, tells the API. A stuck pod holds up nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from cubernetes.api.core.pod import Pod, PodStatus
from cubernetes.api.errors import ApiError, Conflict, NotFound
from cubernetes.api.meta import replaced
from cubernetes.client.outcome import Unknown, Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.backoff import backoff_s, jittered_s
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.reconcile.plan import Record
from cubernetes.reconcile.records import Recorder
from kubelet.counts import Counts
from kubelet.mending import Mending
from kubelet.network.driver import NetworkDriver, NetworkTrouble
from kubelet.observer import Observer
from kubelet.pod import plan, specs, status
from kubelet.pod.admission import Refusal, Room
from kubelet.pod.plan import Memory, Trouble
from kubelet.pod.starts import Starts
from kubelet.pod.volumes import Volumes, VolumeTrouble
from kubelet.runtime.driver import (
    SANDBOX,
    Container,
    RuntimeDown,
    RuntimeDriver,
    RuntimeTrouble,
)
from kubelet.settings import KubeletSettings

log = Log(__name__)

FORCED_GRACE_S = 2.0  # for a pod that was taken out of the API without being asked to end
HURRY_S = 1.0  # grace that is shorter by less than this is not worth another call
TROUBLE_BASE_S = 2.0
TROUBLE_MAX_S = 60.0
RETRY_MAX_S = 10.0  # between tries to tell the API or to reach the runtime


class HostPorts(Protocol):
    """Leads ports of this node to pods. Nothing waits for it: what fails is tried again."""

    def lead(self, pod: Pod, address: str) -> None: ...

    def drop(self, pod_uid: str, address: str) -> None:
        """Lead nothing to a pod any more, and forget the flows of its address, if it had one."""
        ...

    def expect(self, pod_uids: Iterable[str]) -> None:
        """Leave what an earlier life led until each has been seen; the first call counts."""
        ...

    def seen(self, pod_uid: str) -> None:
        """A pod has been looked at: where it runs, it has been led."""
        ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a worker touches."""

    settings: KubeletSettings
    env: Env
    client: Client
    runtime: RuntimeDriver
    network: NetworkDriver
    volumes: Volumes
    observer: Observer
    recorder: Recorder
    host_ports: HostPorts
    mending: Mending
    starts: Starts
    counts: Counts
    node_memory_bytes: int
    room: Callable[[], Room]


class PodWorker:
    """Runs until nothing of its pod is left on this node."""

    def __init__(self, uid: str, parts: Parts) -> None:
        self.uid = uid
        self._parts = parts
        self._pod: Pod | None = None
        self._memory = Memory()
        self._woken = asyncio.Event()
        self._sandbox: Container | None = None
        self._wired_id = ""  # the sandbox that this life has seen wired
        self._status_wanted: PodStatus | None = None
        self._status_due = asyncio.Event()
        self._told: Pod | None = None  # as the API had it right after our last write
        self._failure_count = 0
        self._heard_at_s = parts.env.clock.monotonic()

    @property
    def pod(self) -> Pod | None:
        return self._pod

    def want(self, pod: Pod | None) -> None:
        """Take the newest wish; None: nobody wants this pod here any more."""
        self._pod = pod
        if pod is not None and pod.metadata.is_deleted and self._memory.ending_since_s is None:
            now_s = self._parts.env.clock.monotonic()
            self._memory = replace(self._memory, ending_since_s=now_s)
        self._woken.set()

    def refuse(self, refusal: Refusal) -> None:
        """The pod cannot begin here: it has failed, unless it has begun already."""
        pod = self._pod
        if pod is not None and self._memory.refusal != refusal:
            self._memory = replace(self._memory, refusal=refusal)
            message = refusal.message
            self._parts.recorder.record(Record(pod, refusal.reason, message, "Warning"))
            self._woken.set()

    def wake(self) -> None:
        """Something of the pod may have changed on this node."""
        self._woken.set()

    async def run(self) -> None:
        telling = asyncio.ensure_future(self._tell())
        try:
            while True:
                self._woken.clear()
                pause_s = await self._round()
                if pause_s is None:
                    return
                await self._until_woken(pause_s)
        finally:
            telling.cancel()
            await asyncio.wait([telling])

    async def _until_woken(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _round(self) -> float | None:
        """Look, plan and act once; return seconds until the next look, None when all is gone."""
        try:
            listing = await self._parts.observer.found()
            found = listing.get(self.uid, ())
            self._sandbox = plan.running_sandbox(found)
            streaks = plan.streaks_after(found, self._memory.streaks)
            self._memory = replace(self._memory, streaks=streaks)
            pod, clock = self._pod, self._parts.env.clock
            now = plan.Moment(clock.now(), clock.monotonic())
            steps = (
                plan.teardown(found, FORCED_GRACE_S, "not wanted on this node")
                if pod is None
                else plan.plan(pod, found, self._memory, now)
            )
            pause_s = await self._carry_out(pod, steps, found)
            self._failure_count = 0
        except (
            NetworkTrouble,
            RuntimeTrouble,
            VolumeTrouble,
            ApiError,
            Unknown,
            Unreachable,
        ) as error:
            self._parts.counts.held_up.inc()
            self._tell_of_ending(error)
            self._failure_count += 1
            if self._failure_count == 1:
                log.warning("pod held up", pod=self.uid, why=error)
            return self._pause_s(backoff_s(self._failure_count, limit_s=RETRY_MAX_S))
        return pause_s

    def _tell_of_ending(self, error: Exception) -> None:
        """Tell who waits for the pod to be gone what stands in the way."""
        pod = self._pod
        is_ours = isinstance(error, NetworkTrouble | RuntimeTrouble | VolumeTrouble)
        if pod is not None and pod.metadata.is_deleted and is_ours:
            self._parts.recorder.record(Record(pod, "FailedKillPod", str(error), "Warning"))

    def _pause_s(self, span_s: float) -> float:
        return jittered_s(span_s, self._parts.env.rng.fraction())

    async def _carry_out(
        self, pod: Pod | None, steps: Sequence[plan.Step], found: Sequence[Container]
    ) -> float | None:
        waits_s = [step.span_s for step in steps if isinstance(step, plan.Wait)]
        acts = [step for step in steps if not isinstance(step, plan.Wait)]
        if pod is not None:
            await self._rejoin_network(pod)
            await self._publish(pod, found)
        self._parts.host_ports.seen(self.uid)
        for step in acts:
            if isinstance(step, plan.Forget):
                return await self._forget(pod)
            with self._parts.counts.step(step):
                goes_on = await self._act(pod, step)
            if not goes_on:
                break
        if acts:
            return 0.0
        # At least a tick: two clocks may disagree by a rounding.
        return max(0.01, min(waits_s)) if waits_s else self._parts.settings.relist_s * 6

    async def _act(self, pod: Pod | None, step: plan.Step) -> bool:
        """Carry out one step; False where the rest of the round makes no sense."""
        match step:
            case plan.StartSandbox(attempt) if pod is not None:
                return await self._trying(pod, SANDBOX, partial(self._start_sandbox, pod, attempt))
            case plan.StartContainer(name, attempt) if pod is not None:
                # A container that cannot start must not keep its siblings from starting.
                start = partial(self._start_container, pod, name, attempt)
                await self._trying(pod, name, start)
            case plan.Stop(ids, grace_s, why):
                await self._stop(pod, ids, grace_s, why)
            case plan.StopSandbox(container_id):
                await self._leave_network()
                await self._parts.runtime.stop(container_id, 0.0)
            case plan.Remove(container_id):
                await self._parts.runtime.remove(container_id)
            case _:
                raise AssertionError(f"{step} cannot be carried out for {self.uid}")
        return True

    async def _trying(self, pod: Pod, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work of one part of the pod; note its trouble, False, where it fails."""
        try:
            await work()
        except RuntimeDown:
            raise
        except (RuntimeTrouble, NetworkTrouble, VolumeTrouble) as error:
            self._note_trouble(pod, name, error)
            return False
        troubles = {key: one for key, one in self._memory.troubles.items() if key != name}
        self._memory = replace(self._memory, troubles=troubles)
        return True

    def _note_trouble(self, pod: Pod, name: str, error: Exception) -> None:
        reason = error.reason if isinstance(error, RuntimeTrouble) else type(error).__name__
        before = self._memory.troubles.get(name)
        count = before.failure_count + 1 if before else 1
        if reason == "ErrImagePull" and count > 1:
            reason = "ImagePullBackOff"
        pause_s = self._pause_s(backoff_s(count, base_s=TROUBLE_BASE_S, limit_s=TROUBLE_MAX_S))
        retry_at_s = self._parts.env.clock.monotonic() + pause_s
        trouble = Trouble(reason, str(error), count, retry_at_s)
        self._memory = replace(self._memory, troubles={**self._memory.troubles, name: trouble})
        self._parts.counts.trouble(reason)
        log.warning("part of a pod not started", pod=pod.ref, part=name, why=error)
        self._parts.recorder.record(Record(pod, "Failed", f"{name}: {error}", "Warning"))

    async def _start_sandbox(self, pod: Pod, attempt: int) -> None:
        # A pod that is made again keeps its address: services lead to it also while nobody can
        # tell them of another.
        address = await self._parts.network.reserve(self.uid)
        spec = specs.sandbox_spec(pod, attempt, str(address), self._parts.settings)
        async with self._parts.starts.sandbox():
            self._sandbox = await self._parts.runtime.start_sandbox(spec)
        await self._join_network(pod, self._sandbox)

    async def _rejoin_network(self, pod: Pod) -> None:
        """See to it once that a sandbox of an earlier life is wired, and looked after from now."""
        sandbox = self._sandbox
        if sandbox is not None and self._wired_id != sandbox.id:
            await self._trying(pod, SANDBOX, partial(self._join_network, pod, sandbox))

    async def _join_network(self, pod: Pod, sandbox: Container) -> None:
        address = await self._parts.network.attach(self.uid, f"/proc/{sandbox.pid}/ns/net")
        self._wired_id = sandbox.id
        self._parts.host_ports.lead(pod, str(address))

    async def _leave_network(self) -> None:
        held = await self._parts.network.attached()
        self._parts.host_ports.drop(self.uid, str(held.get(self.uid, "")))
        await self._parts.network.detach(self.uid)

    async def _start_container(self, pod: Pod, name: str, attempt: int) -> None:
        wanted = specs.wanted_named(pod, name)
        sandbox = self._sandbox
        if sandbox is None:
            raise RuntimeTrouble("CreateContainerError", "the pod's sandbox does not run")
        if self._wired_id != sandbox.id:
            # An earlier life may have ended between starting the sandbox and wiring it.
            await self._join_network(pod, sandbox)
        await self._ensure_image(pod, name)
        volumes = await self._parts.volumes.prepare(pod)
        spec = specs.container_spec(pod, wanted, attempt, volumes, self._parts.node_memory_bytes)
        async with self._parts.starts.container():
            await self._parts.runtime.start_container(spec, sandbox.id)
        self._parts.recorder.record(Record(pod, "Started", f"started container {name}"))

    async def _ensure_image(self, pod: Pod, name: str) -> None:
        wanted = specs.wanted_named(pod, name)
        is_here = await self._parts.runtime.image_id(wanted.image) is not None
        if is_here and wanted.image_pull_policy != "Always":
            return
        if wanted.image_pull_policy == "Never":
            message = f"image {wanted.image} is not on this node and its pull policy is Never"
            raise RuntimeTrouble("ErrImageNeverPull", message)
        self._parts.recorder.record(Record(pod, "Pulling", f"pulling image {wanted.image}"))
        await self._parts.runtime.pull(wanted.image)
        self._parts.recorder.record(Record(pod, "Pulled", f"pulled image {wanted.image}"))

    async def _stop(self, pod: Pod | None, ids: Sequence[str], grace_s: float, why: str) -> None:
        """Stop containers; sooner than planned where less grace is granted meanwhile."""
        if pod is not None:
            self._parts.recorder.record(Record(pod, "Killing", f"stopping containers: {why}"))
        stopping = asyncio.ensure_future(self._stop_all(ids, grace_s))
        try:
            await self._stop_sooner(stopping, ids, grace_s)
        finally:
            # Ended with the kubelet: the runtime goes on with the stop that it was asked for.
            stopping.cancel()

    async def _stop_all(self, ids: Sequence[str], grace_s: float) -> None:
        await asyncio.gather(*(self._parts.runtime.stop(one, grace_s) for one in ids))

    async def _stop_sooner(
        self, stopping: asyncio.Future[None], ids: Sequence[str], grace_s: float
    ) -> None:
        """Await a stop, or stop at once with less grace where a newer wish grants less."""
        clock = self._parts.env.clock
        end_at = clock.monotonic() + grace_s
        while not stopping.done():
            # Whatever wakes us here is looked at by the round that follows this one.
            self._woken.clear()
            waking = asyncio.ensure_future(self._woken.wait())
            either: list[asyncio.Future[Any]] = [stopping, waking]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
            left_s = self._grace_s(grace_s)
            if not stopping.done() and clock.monotonic() + left_s < end_at - HURRY_S:
                await self._stop_all(ids, left_s)
                return
        await stopping

    def _grace_s(self, planned_s: float) -> float:
        """Return the grace that the newest wish leaves the containers."""
        if self._pod is None:
            return min(planned_s, FORCED_GRACE_S)
        if not self._pod.metadata.is_deleted:
            return planned_s
        now_s = self._parts.env.clock.monotonic()
        return plan.grace_left_s(self._pod, self._memory.ending_since_s, now_s)

    async def _forget(self, pod: Pod | None) -> float | None:
        """Free what the pod held; then, and only then, take it out of the API."""
        await self._leave_network()
        await self._parts.volumes.remove(self.uid)
        if pod is not None:
            try:
                name, namespace = pod.metadata.name, pod.metadata.namespace
                await self._parts.client.delete(Pod, name, namespace, uid=self.uid, grace_s=0)
            except (NotFound, Conflict):
                log.debug("pod was gone already", pod=pod.ref)
        return None

    async def _publish(self, pod: Pod, found: Sequence[Container]) -> None:
        addresses: Mapping[str, object] = await self._parts.network.attached()
        sandbox = plan.running_sandbox(found)
        address = str(addresses.get(self.uid, "")) if sandbox is not None else ""
        if address and not pod.metadata.is_deleted:
            self._parts.host_ports.lead(pod, address)
        now = self._parts.env.clock.now()
        self._memory = replace(self._memory, network=self._parts.mending.trouble_of(self.uid))
        host = self._parts.settings.address
        wanted = status.status_for(pod, found, self._memory, address, host, now)
        for name in sorted(status.backing_off(wanted) - status.backing_off(self._status_wanted)):
            message = f"back-off restarting failed container {name}"
            self._parts.recorder.record(Record(pod, "BackOff", message, "Warning"))
        self._count_start(pod, wanted)
        self._status_wanted = wanted
        if not self._is_told(pod, wanted):
            self._status_due.set()

    def _count_start(self, pod: Pod, wanted: PodStatus) -> None:
        before = self._status_wanted
        was_waiting = pod.status.phase == "Pending" and (
            before is None or before.phase == "Pending"
        )
        if was_waiting and wanted.phase == "Running":
            spent_s = self._parts.env.clock.monotonic() - self._heard_at_s
            self._parts.counts.starts.observe(spent_s)

    def _is_told(self, pod: Pod, wanted: PodStatus) -> bool:
        """The API has this status, as far as we know: its watch may lag behind our write."""
        told = self._told
        if told is not None and _revision(told) >= _revision(pod):
            return told.status == wanted
        return pod.status == wanted

    async def _tell(self) -> None:
        """Write the newest status whenever it differs; a lost or refused write is made again."""
        failure_count = 0
        while True:
            await self._status_due.wait()
            self._status_due.clear()
            try:
                await self._write_status()
                failure_count = 0
            except NotFound:
                log.debug("status of a pod that is gone", pod=self.uid)
            except (ApiError, Unknown, Unreachable) as error:
                failure_count += 1
                log.debug("status not written", pod=self.uid, why=error)
                self._status_due.set()
                pause_s = self._pause_s(backoff_s(failure_count, base_s=0.2, limit_s=RETRY_MAX_S))
                await self._parts.env.clock.sleep(pause_s)

    async def _write_status(self) -> None:
        pod, wanted = self._pod, self._status_wanted
        if pod is None or wanted is None or self._is_told(pod, wanted):
            return
        try:
            self._told = await self._parts.client.update_status(replaced(pod, status=wanted))
        except Conflict:
            live = await self._parts.client.get(Pod, pod.metadata.name, pod.metadata.namespace)
            if live.metadata.uid == self.uid:
                merged = replaced(live, status=status.status_written(live, wanted))
                self._told = await self._parts.client.update_status(merged)


def _revision(pod: Pod) -> int:
    return int(pod.metadata.resource_version or 0)
