"""The workers of all pods of this node: each wanted pod has one, each unwanted pod found too."""

import asyncio
from collections.abc import Iterable
from functools import partial

from cubernetes.api.causes import cause_of
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.references import Named
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from kubelet.checkpoint import Checkpoint
from kubelet.eviction.verdict import Eviction
from kubelet.files.contents import is_made_from
from kubelet.pod.decisions.admission import Gate
from kubelet.pod.parts import Parts
from kubelet.pod.wire import Wire
from kubelet.pod.worker import PodWorker

log = Log(__name__)

PODS_FILE = ("checkpoint", "pods")
SAVE_PAUSE_S = 5.0


class PodWorkers:
    """Starts, wakes and ends the workers. Call `close` to end them all; containers go on."""

    def __init__(self, parts: Parts, checkpoint: Checkpoint) -> None:
        self._parts, self._checkpoint = parts, checkpoint
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._gate = Gate()
        self._unsaved = asyncio.Event()
        parts.counts.pods.set_function(lambda: len(self.pods))

    @property
    def pods(self) -> list[Pod]:
        """Return the pods that are wanted here, in the order of their uids."""
        wanted = (self._workers[uid].pod for uid in sorted(self._workers))
        return [pod for pod in wanted if pod is not None]

    @property
    def active(self) -> set[str]:
        """Return the uids of the pods that may have containers here, or get any."""
        workers = self._workers.items()
        return {uid for uid, one in workers if one.pod is None or not is_finished(one.pod)}

    def named(self, namespace: str, name: str) -> Pod | None:
        here = (one for one in self.pods if one.ref[1:] == (namespace, name))
        return next(here, None)

    async def address_of(self, pod: Pod) -> str:
        """Return where a pod is, as this node knows itself. Raises: NetworkTrouble."""
        return await Wire(pod.metadata.uid, self._parts).address(pod)

    def want(self, pods: Iterable[Pod]) -> None:
        """Take the complete list of pods that are bound to this node."""
        newest = {one.metadata.uid: one for one in pods}
        self._parts.host_ports.expect(newest)
        self._parts.claims.want(newest.values())
        for uid in sorted(self._workers.keys() - newest.keys()):
            self._workers[uid].want(None)
        refused = self._gate.judge(newest.values(), self._parts.room())
        for uid in sorted(newest):
            self._take(uid, newest[uid])
            if uid in refused:
                self._workers[uid].refuse(refused[uid])
        self._unsaved.set()

    def wake(self, uid: str) -> None:
        if uid in self._workers:
            self._workers[uid].wake()

    def evict(self, uid: str, eviction: Eviction) -> None:
        """End a pod of this node for what it holds, or for what the node lacks."""
        if uid in self._workers:
            self._workers[uid].evict(eviction)

    def spare(self, uid: str) -> None:
        if uid in self._workers:
            self._workers[uid].spare()

    def is_ending(self, uid: str) -> bool:
        """Whether an evicted pod still holds something here."""
        return uid in self._workers and self._workers[uid].is_ending

    def take_news(self, namespace: str, named: Named) -> None:
        """An object has changed: wake the pods whose volumes are made from it."""
        for pod in self.pods:
            if is_made_from(pod, namespace, named):
                self._workers[pod.metadata.uid].take_news()

    def take_token(self, pod_uid: str) -> None:
        """A pod has another token: its files are to be written."""
        if (worker := self._workers.get(pod_uid)) is not None:
            worker.take_news()

    def wake_all(self) -> None:
        for pod in self.pods:
            self.wake(pod.metadata.uid)

    def adopt_orphans(self, found: Iterable[str]) -> None:
        """Give every pod that is found here and not wanted a worker that takes it down."""
        for uid in sorted(set(found) - self._workers.keys()):
            log.info("orphan found", pod=uid, cause=cause_of(uid))
            self._take(uid, None)

    async def keep_saved(self) -> None:
        """Save what is wanted here whenever it has changed; a disk that hangs holds up nobody."""
        env = self._parts.env
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            wanted = [pod for pod in self.pods if not is_finished(pod)]
            try:
                await env.blocking.run(PODS_FILE, partial(self._checkpoint.save, wanted))
            except OSError as error:
                log.warning("checkpoint not saved", why=error)
                self._unsaved.set()
                await env.clock.sleep(SAVE_PAUSE_S)

    async def close(self) -> None:
        for uid in sorted(self._tasks):
            self._tasks[uid].cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _take(self, uid: str, pod: Pod | None) -> None:
        if uid not in self._workers:
            worker = self._workers[uid] = PodWorker(uid, self._parts)
            task = asyncio.ensure_future(supervised(f"pod {uid}", worker.run, self._parts.env))
            self._tasks[uid] = task
            task.add_done_callback(lambda _: self._drop(uid))
        if self._workers[uid].pod is not pod or pod is None:
            self._workers[uid].want(pod)

    def _drop(self, uid: str) -> None:
        # The same uid may be found again later (an orphan that came back): it gets a new worker.
        del self._tasks[uid], self._workers[uid]
