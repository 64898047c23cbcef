"""Writes one pod's status to the API: the newest one, whenever the API's differs."""

import asyncio
from collections.abc import Sequence

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.errors import ApiError, Conflict, NotFound
from cubernetes.api.meta import replaced
from cubernetes.client.cache import revision_of
from cubernetes.client.outcome import UnknownOutcome, Unreachable
from cubernetes.host.log import Log
from cubernetes.host.timing.backoff import backoff_s, jittered_s
from cubernetes.reconcile.plan import Record
from kubelet.pod.decisions import plan, status
from kubelet.pod.decisions.memory import Memory
from kubelet.pod.decisions.networks import STATUS, status_text
from kubelet.pod.images import container_path
from kubelet.pod.parts import Parts
from kubelet.pod.wire import Wire
from kubelet.runtime.driver import Container

log = Log(__name__)

WRITE_RETRY_MAX_S = 10.0


class StatusWriter:
    """Follows the pod and the status that is wanted for it. Nothing waits for the API."""

    def __init__(self, uid: str, parts: Parts, wire: Wire) -> None:
        self._uid, self._parts, self._wire = uid, parts, wire
        self._client, self._env = parts.client, parts.env
        self._pod: Pod | None = None
        self._wanted: PodStatus | None = None
        self._seen: Pod | None = None  # the pod that this status was made of
        self._due = asyncio.Event()
        self._reported: Pod | None = None  # as the API had it right after our last write
        self._heard_at_s = parts.env.clock.monotonic()

    def follow(self, pod: Pod | None) -> None:
        """Take the newest pod from the API; None: it is wanted no more."""
        self._pod = pod

    async def report(self, pod: Pod, found: Sequence[Container], memory: Memory) -> None:
        """Make the status of what was found the one that is wanted in the API."""
        is_running = plan.running_sandbox(found) is not None
        address = await self._wire.address(pod) if is_running else ""
        if address and not pod.metadata.is_deleted:
            self._wire.lead(pod, address)
        host, now = self._parts.host_address, self._env.clock.now()
        wanted = status.status_for(pod, found, memory, address, host, now)
        self._record_changes(pod, wanted)
        self._wanted, self._seen = wanted, pod
        if not self._is_reported(pod, wanted):
            self._due.set()

    def _record_changes(self, pod: Pod, wanted: PodStatus) -> None:
        before = self._wanted
        for name in sorted(status.backing_off(wanted) - status.backing_off(before)):
            message = f"Back-off restarting failed container {name} in pod {pod.metadata.name}"
            path = container_path(pod, name)
            self._parts.recorder.record(Record(pod, "BackOff", message, "Warning", path))
        if status.has_outlived(pod, before, wanted):
            self._parts.recorder.record(Record(pod, plan.DEADLINE, plan.DEADLINE_MESSAGE))
        if status.has_begun(pod, before, wanted):
            spent_s = self._env.clock.monotonic() - self._heard_at_s
            self._parts.counts.starts.observe(spent_s)

    async def run(self) -> None:
        """Write for ever; a lost or refused write is made again."""
        failure_count = 0
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._write()
                failure_count = 0
            except NotFound:
                log.debug("status of a pod that is gone", pod=self._uid)
            except (ApiError, UnknownOutcome, Unreachable) as error:
                failure_count += 1
                log.debug("status not written", pod=self._uid, why=error)
                self._due.set()
                span_s = backoff_s(failure_count, base_s=0.2, limit_s=WRITE_RETRY_MAX_S)
                await self._env.clock.sleep(jittered_s(span_s, self._env.rng.fraction()))

    async def _write(self) -> None:
        pod, wanted = self._pod, self._wanted
        if pod is None or wanted is None or self._is_reported(pod, wanted):
            return
        # Others may have written since the look that this status comes from: theirs stays.
        newest = wanted if pod is self._seen else status.status_written(pod, wanted)
        try:
            self._reported = await self._client.update_status(self._told(pod, newest))
        except Conflict:
            live = await self._client.get(Pod, pod.metadata.name, pod.metadata.namespace)
            if live.metadata.uid == self._uid:
                merged = self._told(live, status.status_written(live, wanted))
                self._reported = await self._client.update_status(merged)

    def _told(self, pod: Pod, wanted: PodStatus) -> Pod:
        """Return a pod with its status, and what it tells of its interfaces if it has several."""
        if text := status_text(self._parts.network.interfaces(self._uid)):
            notes = {**pod.metadata.annotations, STATUS: text}
            pod = replaced(pod, metadata=replaced(pod.metadata, annotations=notes))
        return replaced(pod, status=wanted)

    def _is_reported(self, pod: Pod, wanted: PodStatus) -> bool:
        """The API has this status, as far as we know: its watch may lag behind our write."""
        reported = self._reported
        if reported is None or revision_of(reported) < revision_of(pod):
            reported = pod
        notes = self._told(reported, wanted).metadata.annotations
        return reported.status == wanted and reported.metadata.annotations == notes
