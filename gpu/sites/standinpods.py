"""The pods of jobs: what a job is made of in this cluster, and what a pod tells of it. Pure."""

from collections.abc import Mapping

from cubernetes.api.condition import condition_of
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, EnvVar, Resources, VolumeMount
from cubernetes.api.core.podspec.security.context import (
    Capabilities,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
)
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.volumes.volume import ConfigMapVolume, EmptyDir, KeyToPath, Volume
from cubernetes.api.core.podstatus import ContainerStatus, StateTerminated
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.meta import ObjectMeta
from cubernetes.api.quantities import Quantity
from gpu.driver import Observation
from gpu.machine import Event

CONTAINER = "job"
USER = 65532
KEY_LABEL, SITE_LABEL = "gpu.cubernetes.io/key", "gpu.cubernetes.io/site"
JOB_LABEL = "gpu.cubernetes.io/job"
CANCELLED = "gpu.cubernetes.io/cancelled"
TYPE = "cpu-stand-in"
STAND_IN = "CPU STAND-IN"
SIGNALS_FROM = 128  # a shell's exit code is this and the signal that ended its child


def devices_of(site: GpuSite) -> dict[str, str]:
    """Return the GPUs for which a site stands in, none of which is one."""
    return {f"{TYPE}-{index}": TYPE for index in range(site.spec.stand_in.gpus)}


def name_of(key: str) -> str:
    """Return the name of the pod of a submission, and of its files."""
    return f"gpujob-{key}"


def files_for(job: GpuJob, key: str, cube: Mapping[str, str]) -> ConfigMap:
    """Return what a job's pod reads; cube are the files that are ours, by name."""
    spec = job.spec
    files = dict(enumerate(spec.files.values()))
    data = {f"file-{index}": text for index, text in files.items()}
    return ConfigMap(
        metadata=_meta(job, key, {}),
        data={**data, **cube, "script": spec.script},
        immutable=True,
    )


def pod_for(job: GpuJob, site: GpuSite, key: str, image: str, cube: Mapping[str, str]) -> Pod:
    """Return the pod that runs a job. Its end is final: only a new submission runs again.

    image: what jobs of stand-ins run in; devices of our nodes have images of their own.
    """
    spec, name = job.spec, name_of(key)
    paths = tuple(
        KeyToPath(key=f"file-{index}", path=path) for index, path in enumerate(spec.files)
    )
    own = tuple(KeyToPath(key=one, path=one) for one in (*sorted(cube), "script"))
    volumes = [Volume(name="cube", config_map=ConfigMapVolume(name=name, items=own))]
    # A volume without items would have every key of its object.
    files = ConfigMapVolume(name=name, items=paths) if paths else None
    volumes.append(Volume(name="job", config_map=files, empty_dir=None if files else EmptyDir()))
    volumes.append(Volume(name="work", empty_dir=EmptyDir()))
    return Pod(
        metadata=_meta(job, key, {SITE_LABEL: site.metadata.name}),
        spec=PodSpec(
            automount_service_account_token=False,
            containers=(_container(job, site, image),),
            volumes=tuple(volumes),
            restart_policy="Never",
            node_selector=(site.spec.local or site.spec.stand_in).node_selector,
            active_deadline_seconds=spec.time_limit_seconds,
            termination_grace_period_seconds=5,
            enable_service_links=False,
            security_context=PodSecurityContext(
                run_as_user=USER,
                run_as_group=USER,
                run_as_non_root=True,
                seccomp_profile=SeccompProfile(type="RuntimeDefault"),
            ),
        ),
    )


def _container(job: GpuJob, site: GpuSite, image: str) -> Container:
    spec = job.spec
    wanted = {"cpu": Quantity(spec.resources.cpus), "memory": spec.resources.memory}
    program, local = spec.program, site.spec.local
    if local is not None:
        wanted[local.resource] = Quantity(spec.resources.gpus)
    return Container(
        name=CONTAINER,
        image=local.image if local is not None else image,
        command=("sh", "/cube/run.sh", *(program.args if program is not None else ())),
        env=(
            EnvVar(name="CUBE_SITE", value=site.metadata.name),
            EnvVar(name="CUBE_CUDA", value=program.cuda if program is not None else ""),
            EnvVar(name="CUBE_RESOURCE", value=local.resource if local is not None else ""),
        ),
        resources=Resources(limits=wanted, requests=wanted),
        volume_mounts=(
            VolumeMount(name="cube", mount_path="/cube"),
            VolumeMount(name="job", mount_path="/job", read_only=True),
            VolumeMount(name="work", mount_path="/work"),
        ),
        # The end of the output becomes the message of a failure.
        termination_message_policy="FallbackToLogsOnError",
        security_context=SecurityContext(
            read_only_root_filesystem=True,
            allow_privilege_escalation=False,
            capabilities=Capabilities(drop=("ALL",)),
        ),
    )


def _meta(job: GpuJob, key: str, labels: Mapping[str, str]) -> ObjectMeta:
    meta = job.metadata
    return ObjectMeta(
        name=name_of(key),
        namespace=meta.namespace,
        labels={KEY_LABEL: key, JOB_LABEL: meta.name, **labels},
        owner_references=(job.owner_reference(),),
    )


def observation_of(pod: Pod, says: str = STAND_IN) -> Observation:
    """Return what a pod tells of its job. says: what stands before each of its messages."""
    meta, status = pod.metadata, pod.status
    found = next((one for one in status.container_statuses if one.name == CONTAINER), None)
    ended = found.state.terminated if found is not None else None
    state = _state(pod, ended)
    reason, message = _why(pod, found, state)
    if says:
        message = f"{says}: {message}" if message else f"{says}, no GPU"
    code = (
        ended.exit_code if ended is not None and state in (Event.FAILED, Event.SUCCEEDED) else None
    )
    running = found.state.running if found is not None else None
    began = ended or running
    return Observation(
        state=state,
        reason=reason,
        message=message,
        exit_code=code,
        signal=_signal(code),
        node=pod.spec.node_name,
        site_job_id=f"{meta.namespace}/{meta.name}",
        started_at=began.started_at if began is not None else None,
        ended_at=ended.finished_at if ended is not None else None,
    )


def _state(pod: Pod, ended: StateTerminated | None) -> Event:
    match pod.status.phase:
        case "Succeeded":
            return Event.SUCCEEDED
        case "Failed" if CANCELLED in pod.metadata.annotations:
            return Event.CANCELLED
        case "Failed" if pod.status.reason == "DeadlineExceeded":
            return Event.TIMED_OUT
        case "Failed" if ended is not None and ended.reason == "OOMKilled":
            return Event.OUT_OF_MEMORY
        # It was deleted, or its node drained: it did not end by itself.
        case "Failed" if ended is None or pod.metadata.is_deleted:
            return Event.LOST
        case "Failed":
            return Event.FAILED
        case "Running":
            return Event.RUNNING
    return Event.QUEUED


def _why(pod: Pod, found: ContainerStatus | None, state: Event) -> tuple[str, str]:
    """Return why a job is as it is: what holds it up, or the last that it said."""
    if state is Event.QUEUED:
        waiting = found.state.waiting if found is not None else None
        placed = condition_of(pod.status.conditions, "PodScheduled")
        if waiting is not None and waiting.reason:
            return waiting.reason, waiting.message or waiting.reason
        if placed is not None and placed.status == "False":
            return placed.reason, placed.message
        return "", "its pod begins"
    ended = found.state.terminated if found is not None else None
    return "", (ended.message if ended is not None else "") or pod.status.message


def _signal(code: int | None) -> int:
    return code - SIGNALS_FROM if code is not None and code > SIGNALS_FROM else 0
