"""Hooks of a container: what is done right after its start, and right before it is asked to end."""

import asyncio
from collections.abc import Callable

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.probes.probe import LifecycleHandler
from cubernetes.host.clock import Clock
from cubernetes.reconcile.plan import Record
from kubelet.pod.images import container_path
from kubelet.probes.driver import Answer, Asker, Question, Unanswered, action_of
from kubelet.runtime.driver import Container

# Kubernetes waits for a postStart hook for ever, or until the pod is deleted.
POST_START_MAX_S = 600.0
# What is left for a container to end in, however long its preStop hook took.
GRACE_MIN_S = 2.0


class Hooks:
    """Runs the hooks of one pod's containers. tell: records an event."""

    def __init__(self, asker: Asker, clock: Clock, tell: Callable[[Record], None]) -> None:
        self._asker, self._clock, self._tell = asker, clock, tell
        self.is_ending = asyncio.Event()

    async def started(self, pod: Pod, wanted: Wanted, found: Container, address: str) -> bool:
        """Run the postStart hook; False: it failed, and the container is to be ended.

        Where the pod is deleted or evicted meanwhile (`is_ending`), its hook is waited for no more.
        """
        hook = wanted.lifecycle.post_start if wanted.lifecycle is not None else None
        if hook is None:
            return True
        running = asyncio.ensure_future(self._run(pod, wanted, found, address, hook))
        ending = asyncio.ensure_future(self.is_ending.wait())
        try:
            await asyncio.wait(
                (running, ending), timeout=POST_START_MAX_S, return_when=asyncio.FIRST_COMPLETED
            )
            if running.done():
                answer = running.result()
            elif self.is_ending.is_set():
                return True
            else:
                answer = Answer(is_success=False, told=f"no end within {POST_START_MAX_S:g}s")
        finally:
            running.cancel()
            ending.cancel()
            await asyncio.wait((running, ending))
        if not answer.is_success:
            self._failed(pod, wanted, "FailedPostStartHook", f"PostStartHook failed: {answer.told}")
        return answer.is_success

    async def stopping(
        self, pod: Pod, wanted: Wanted, found: Container, address: str, grace_s: float
    ) -> float:
        """Run the preStop hook within the grace; return what is left of it."""
        hook = wanted.lifecycle.pre_stop if wanted.lifecycle is not None else None
        if hook is None or grace_s <= 0:
            return grace_s
        began_s = self._clock.monotonic()
        answer = await self._run(pod, wanted, found, address, hook, grace_s)
        if not answer.is_success:
            self._failed(pod, wanted, "FailedPreStopHook", f"PreStopHook failed: {answer.told}")
        spent_s = self._clock.monotonic() - began_s
        return max(grace_s - spent_s, min(grace_s, GRACE_MIN_S))

    async def _run(
        self,
        pod: Pod,
        wanted: Wanted,
        found: Container,
        address: str,
        hook: LifecycleHandler,
        limit_s: float = POST_START_MAX_S,
    ) -> Answer:
        if hook.sleep is not None:
            await self._clock.sleep(min(float(hook.sleep.seconds), limit_s))
            return Answer(is_success=True)
        action = action_of(hook)
        if action is None:
            return Answer(is_success=False, told="invalid handler")
        question = Question(pod.metadata.name, found.id, wanted, address, action, limit_s, True)
        try:
            return await self._asker.ask(question)
        except Unanswered as why:
            return Answer(is_success=False, told=str(why))

    def _failed(self, pod: Pod, wanted: Wanted, reason: str, message: str) -> None:
        path = container_path(pod, wanted.name)
        self._tell(Record(pod, reason, message, "Warning", path))
