"""Images of a pod's containers: whether one must be pulled, and the pull, beside the worker."""

import asyncio
from collections.abc import Callable, Mapping

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.spec import every_program
from cubernetes.reconcile.plan import Record
from kubelet.images.credentials import logins_for
from kubelet.pod.parts import Parts
from kubelet.runtime.driver import RuntimeTrouble

PULL_FAILED, PULL_BACK_OFF = "ErrImagePull", "ImagePullBackOff"
# A pod's status tells of progress this often at most: each time is a write to the API.
TELL_EVERY_S = 2.0


def container_path(pod: Pod, name: str) -> str:
    """Return the part of a pod that events of one of its containers are about."""
    part = "containers"
    if any(one.name == name for one in pod.spec.init_containers):
        part = "initContainers"
    elif any(one.name == name for one in pod.spec.ephemeral_containers):
        part = "ephemeralContainers"
    return f"spec.{part}{{{name}}}"


class _Fetch:
    """A pull for one attempt of a container. message: how far it is."""

    def __init__(self, attempt: int, image: str) -> None:
        self.attempt, self.image = attempt, image
        self.message = _waiting(image, "")
        self.task: asyncio.Task[None] | None = None

    @property
    def is_done(self) -> bool:
        return self.task is not None and self.task.done()


class PodImages:
    """The pulls that one pod waits for. Its worker goes on meanwhile; news wake it."""

    def __init__(self, parts: Parts, wake: Callable[[], None]) -> None:
        self._parts, self._wake = parts, wake
        self._fetches: dict[str, _Fetch] = {}  # by container
        self._told_at_s = -TELL_EVERY_S

    def messages(self, pod: Pod) -> Mapping[str, str]:
        """Return how far the images are that its containers want now, where they are pulled."""
        return {
            one.name: fetch.message
            for one in every_program(pod.spec)
            if (fetch := self._fetches.get(one.name)) is not None
            and fetch.image == one.image
            and not fetch.is_done
        }

    async def is_ready(self, wanted: Wanted) -> bool:
        """Whether a container's image is here and its policy takes it. Raises: RuntimeTrouble."""
        if wanted.image_pull_policy == "Always":
            return False
        return await self._parts.runtime.image_id(wanted.image) is not None

    async def ensure(
        self, pod: Pod, wanted: Wanted, attempt: int, *, is_here: bool = False
    ) -> bool:
        """Have the image of a container on this node, by its pull policy; False: it is on its way.

        is_here: a container has just been made of it.

        Raises: RuntimeTrouble: it cannot be had, or the pull that was begun has failed.
        """
        fetch = self._fetches.get(wanted.name)
        if fetch is not None and (fetch.attempt, fetch.image) == (attempt, wanted.image):
            if fetch.task is None or not fetch.task.done():
                return False
            del self._fetches[wanted.name]
            fetch.task.result()
            return True
        path = container_path(pod, wanted.name)
        self._drop(wanted.name)
        is_here = is_here or await self._parts.runtime.image_id(wanted.image) is not None
        if is_here and wanted.image_pull_policy != "Always":
            message = f'Container image "{wanted.image}" already present on machine'
            self._parts.recorder.record(Record(pod, "Pulled", message, field_path=path))
            return True
        if wanted.image_pull_policy == "Never":
            message = f"image {wanted.image} is not on this node and its pull policy is Never"
            raise RuntimeTrouble("ErrImageNeverPull", message)
        fetch = self._fetches[wanted.name] = _Fetch(attempt, wanted.image)
        fetch.task = asyncio.create_task(self._pull(pod, wanted, path, fetch))
        return False

    def close(self) -> None:
        """Wait for no pull any more."""
        for name in [*self._fetches]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Forget the pull for an earlier attempt of a container, or for another image."""
        fetch = self._fetches.pop(name, None)
        if fetch is not None and fetch.task is not None:
            fetch.task.cancel()

    async def _pull(self, pod: Pod, wanted: Wanted, path: str, fetch: _Fetch) -> None:
        parts, image = self._parts, wanted.image
        began_at_s = parts.env.clock.monotonic()
        try:
            secrets, missing = await parts.objects.pull_secrets(pod)
            if missing:
                message = (
                    f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                    "attempting to pull the image may not succeed."
                )
                reason = "FailedToRetrieveImagePullSecret"
                parts.recorder.record(Record(pod, reason, message, "Warning"))
            message = f'Pulling image "{image}"'
            parts.recorder.record(Record(pod, "Pulling", message, field_path=path))

            def tell(text: str) -> None:
                self._tell(fetch, _waiting(image, text))

            spent_s = await parts.puller.pull(image, logins_for(image, secrets), tell)
            whole_s = parts.env.clock.monotonic() - began_at_s
            message = (
                f'Successfully pulled image "{image}" in {spent_s:.3f}s '
                f"({whole_s:.3f}s including waiting)"
            )
            parts.recorder.record(Record(pod, "Pulled", message, field_path=path))
        finally:
            self._wake()

    def _tell(self, fetch: _Fetch, message: str) -> None:
        now_s = self._parts.env.clock.monotonic()
        if fetch.message == message:
            return
        fetch.message = message
        if now_s - self._told_at_s >= TELL_EVERY_S:
            self._told_at_s = now_s
            self._wake()


def _waiting(image: str, text: str) -> str:
    return f'Pulling image "{image}"' + (f": {text}" if text else "")


def reason_after(reason: str, failure_count: int) -> str:
    """Return the reason to report: a pull that failed before is backing off."""
    return PULL_BACK_OFF if reason == PULL_FAILED and failure_count > 1 else reason


def message_of(reason: str, image: str, said: str) -> str:
    """Return the message to report beside a reason, in the words of Kubernetes."""
    if reason == PULL_BACK_OFF:
        return f'Back-off pulling image "{image}": {PULL_FAILED}: {said}'
    return said
