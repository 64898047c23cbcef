"""Pods and their service accounts: whose a new pod is, and the files by which it shows that. Pure.

As Kubernetes' admission does it: a projected volume of a token, the API server's authority and the
pod's namespace, where every container that mounts nothing else there finds it.
"""

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container, VolumeMount
from cubernetes.api.core.podspec.envsource import ObjectFieldSelector
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podspec.volumes.volume import (
    ConfigMapProjection,
    DownwardFile,
    DownwardProjection,
    KeyToPath,
    ProjectedVolume,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from cubernetes.api.core.serviceaccount import (
    DEFAULT,
    ROOT_CA,
    TOKEN_VOLUME_PREFIX,
    ServiceAccount,
)
from cubernetes.api.errors import Forbidden
from cubernetes.api.meta import replaced

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  a path
# Kubernetes' own number, by which such a volume is told from others.
TOKEN_LIFE_S = 3607
ENDING_CHARS = 5
LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def with_account(pod: Pod, found: ServiceAccount | None, fraction: float) -> Pod:
    """Return a new pod with its account, that one's files and pull secrets; found: the account.

    A namespace's default may be made a moment after the namespace: its pods need not wait for it.

    Raises: Forbidden: it names an account that there is none of.
    """
    name = pod.spec.service_account_name or DEFAULT
    if found is None and name != DEFAULT:
        told = f'serviceaccount "{name[:253]}" not found'
        why = f"error looking up service account {pod.metadata.namespace}/{name[:253]}: {told}"
        title = pod.metadata.name or pod.metadata.generate_name
        raise Forbidden(f'pods "{title}" is forbidden: {why}', kind="pods", name=title)
    spec = replaced(pod.spec, service_account_name=name, service_account=name)
    if is_automounted(spec, found):
        spec = with_files(spec, fraction)
    if found is not None and not spec.image_pull_secrets:
        spec = replaced(spec, image_pull_secrets=found.image_pull_secrets)
    return replaced(pod, spec=spec)


def is_automounted(spec: PodSpec, account: ServiceAccount | None) -> bool:
    """Whether a pod's containers find a token; the pod's own word wins over its account's."""
    own = spec.automount_service_account_token
    of_account = account.automount_service_account_token if account is not None else None
    return of_account is not False if own is None else own


def with_files(spec: PodSpec, fraction: float) -> PodSpec:
    """Return a spec whose containers have the files; one that mounts something there keeps it."""
    containers = (*spec.init_containers, *spec.containers)
    if all(_mounts_there(one) for one in containers):
        return spec
    name = TOKEN_VOLUME_PREFIX + ending_of(fraction)
    return replaced(
        spec,
        volumes=(*spec.volumes, _volume(name)),
        containers=tuple(_with_mount(one, name) for one in spec.containers),
        init_containers=tuple(_with_mount(one, name) for one in spec.init_containers),
    )


def ending_of(fraction: float) -> str:
    """Return the letters that a number in [0, 1) stands for."""
    number, letters = int(fraction * len(LETTERS) ** ENDING_CHARS), ""
    for _ in range(ENDING_CHARS):
        number, index = divmod(number, len(LETTERS))
        letters += LETTERS[index]
    return letters


def _mounts_there(one: Container) -> bool:
    return any(mount.mount_path == TOKEN_FOLDER for mount in one.volume_mounts)


def _with_mount(one: Container, volume: str) -> Container:
    if _mounts_there(one):
        return one
    mount = VolumeMount(name=volume, mount_path=TOKEN_FOLDER, read_only=True)
    return replaced(one, volume_mounts=(*one.volume_mounts, mount))


def _volume(name: str) -> Volume:
    token = ServiceAccountTokenProjection(expiration_seconds=TOKEN_LIFE_S, path="token")
    authority = ConfigMapProjection(name=ROOT_CA, items=(KeyToPath(key="ca.crt", path="ca.crt"),))
    field = ObjectFieldSelector(api_version="v1", field_path="metadata.namespace")
    namespace = DownwardProjection(items=(DownwardFile(path="namespace", field_ref=field),))
    sources = (
        VolumeProjection(service_account_token=token),
        VolumeProjection(config_map=authority),
        VolumeProjection(downward_api=namespace),
    )
    return Volume(name=name, projected=ProjectedVolume(sources=sources))
