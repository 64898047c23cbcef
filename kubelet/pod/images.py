"""Images of containers: whether one must be pulled, and the pull."""

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.reconcile.plan import Record
from kubelet.pod.parts import Parts
from kubelet.runtime.driver import RuntimeTrouble

PULL_FAILED, PULL_BACK_OFF = "ErrImagePull", "ImagePullBackOff"


def container_path(pod: Pod, name: str) -> str:
    """Return the part of a pod that events of one of its containers are about."""
    is_init = any(one.name == name for one in pod.spec.init_containers)
    return f"spec.{'initContainers' if is_init else 'containers'}{{{name}}}"


async def ensure_image(parts: Parts, pod: Pod, wanted: Wanted) -> None:
    """Have the image of a container on this node, by its pull policy. Raises: RuntimeTrouble."""
    path = container_path(pod, wanted.name)
    is_here = await parts.runtime.image_id(wanted.image) is not None
    if is_here and wanted.image_pull_policy != "Always":
        message = f'Container image "{wanted.image}" already present on machine'
        parts.recorder.record(Record(pod, "Pulled", message, field_path=path))
        return
    if wanted.image_pull_policy == "Never":
        message = f"image {wanted.image} is not on this node and its pull policy is Never"
        raise RuntimeTrouble("ErrImageNeverPull", message)
    message = f'Pulling image "{wanted.image}"'
    parts.recorder.record(Record(pod, "Pulling", message, field_path=path))
    await parts.runtime.pull(wanted.image)
    message = f'Successfully pulled image "{wanted.image}"'
    parts.recorder.record(Record(pod, "Pulled", message, field_path=path))


def reason_after(reason: str, failure_count: int) -> str:
    """Return the reason to report: a pull that failed before is backing off."""
    return PULL_BACK_OFF if reason == PULL_FAILED and failure_count > 1 else reason
