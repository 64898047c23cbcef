"""The pods of instances: generic until they are claimed, and shut in. Pure."""

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, ContainerPort, Resources, VolumeMount
from cubernetes.api.core.podspec.security.context import (
    Capabilities,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
)
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, Volume
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.quantities import Quantity
from cubernetes.api.serverless.function import SizeClass
from serverless.board.key import FunctionKey
from serverless.brain.naming import (
    CLASS_LABEL,
    FUNCTION_LABEL,
    INSTANCES_NAMESPACE,
    NAMESPACE_LABEL,
)

PORT = 8080
USER = 65532
TMP_BYTES = "64Mi"
# Memory that an instance cannot exceed, memory and cpu that it is promised.
SIZES: dict[SizeClass, tuple[str, str, str]] = {
    "small": ("128Mi", "64Mi", "50m"),
    "medium": ("512Mi", "256Mi", "250m"),
    "large": ("2Gi", "1Gi", "1"),
}


def pod_for(name: str, size: SizeClass, function: FunctionKey | None, image: str) -> Pod:
    """Return the pod of an instance, of the pool where it is for no function."""
    labels: dict[str, str] = {CLASS_LABEL: size}
    if function is not None:
        labels |= labels_for(function)
    most, memory, cpu = SIZES[size]
    container = Container(
        name="instance",
        image=image,
        ports=(ContainerPort(container_port=PORT),),
        resources=Resources(
            requests={"cpu": Quantity(cpu), "memory": Quantity(memory)},
            limits={"memory": Quantity(most)},
        ),
        volume_mounts=(VolumeMount(name="tmp", mount_path="/tmp"),),  # noqa: S108  of its own
        security_context=SecurityContext(
            read_only_root_filesystem=True,
            allow_privilege_escalation=False,
            capabilities=Capabilities(drop=("ALL",)),
        ),
    )
    return Pod(
        metadata=ObjectMeta(name=name, namespace=INSTANCES_NAMESPACE, labels=labels),
        spec=PodSpec(
            automount_service_account_token=False,
            containers=(container,),
            volumes=(
                Volume(
                    name="tmp",
                    empty_dir=EmptyDir(medium="Memory", size_limit=Quantity(TMP_BYTES)),
                ),
            ),
            # An instance that ends is another instance: what it had loaded is gone.
            restart_policy="Never",
            termination_grace_period_seconds=1,
            enable_service_links=False,
            security_context=PodSecurityContext(
                run_as_user=USER,
                run_as_group=USER,
                run_as_non_root=True,
                seccomp_profile=SeccompProfile(type="RuntimeDefault"),
            ),
        ),
    )


def labels_for(function: FunctionKey) -> dict[str, str]:
    return {NAMESPACE_LABEL: function.namespace, FUNCTION_LABEL: function.name}


def function_of(pod: Pod) -> FunctionKey | None:
    """Return the function that a pod is claimed for."""
    labels = pod.metadata.labels
    if FUNCTION_LABEL not in labels or NAMESPACE_LABEL not in labels:
        return None
    return FunctionKey(labels[NAMESPACE_LABEL], labels[FUNCTION_LABEL])


def size_of(pod: Pod) -> SizeClass | None:
    """Return the size of an instance; None for a pod that is none."""
    label = pod.metadata.labels.get(CLASS_LABEL, "")
    return next((size for size in SIZES if size == label), None)


def address_of(pod: Pod) -> str:
    return f"{pod.status.pod_ip}:{PORT}"
