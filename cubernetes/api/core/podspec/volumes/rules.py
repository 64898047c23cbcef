"""What makes a pod's volumes legal."""

from collections.abc import Iterable, Iterator, Sequence
from posixpath import normpath

from cubernetes.api import names
from cubernetes.api.core.podspec.container import VolumeMount
from cubernetes.api.core.podspec.envrules import field_problems, resource_problems
from cubernetes.api.core.podspec.volumes.volume import (
    LIFE_S_MAX,
    LIFE_S_MIN,
    DownwardFile,
    EmptyDir,
    KeyToPath,
    ProjectedVolume,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
    sources_of,
)
from cubernetes.api.errors import Problem

FILE_PATH_RULE = "must be a relative path without '..' that does not begin with '..'"
SUB_PATH_RULE = "must be a relative path without '..'"
PATH_CHARS_MAX = 4096
PART_CHARS_MAX = 255
# The fields of a pod that files may hold, by Kubernetes' rules.
FILE_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels",
    "metadata.annotations",
)


def volume_problems(volume: Volume, field: str) -> Iterator[Problem]:
    """Yield what is wrong with the volume that stands at field."""
    if not names.is_label(volume.name):
        yield Problem(f"{field}.name", names.LABEL_RULE)
    sources = {
        "hostPath": volume.host_path,
        "emptyDir": volume.empty_dir,
        "configMap": volume.config_map,
        "secret": volume.secret,
        "downwardAPI": volume.downward_api,
        "projected": volume.projected,
        "persistentVolumeClaim": volume.persistent_volume_claim,
    }
    found = [part for part, one in sources.items() if one is not None]
    yield from _count_problems(found, sources, field)
    if volume.host_path and not is_absolute(volume.host_path.path):
        yield Problem(f"{field}.hostPath.path", "must be an absolute path without '..' and ':'")
    if volume.empty_dir is not None:
        yield from _size_problems(volume.empty_dir, f"{field}.emptyDir")
    yield from _claim_problems(volume, f"{field}.persistentVolumeClaim.claimName")
    if volume.projected is not None:
        yield from _projected_problems(volume.projected, f"{field}.projected")
    elif len(found) == 1:
        part, name = found[0], "secretName" if volume.secret is not None else "name"
        for source in sources_of(volume):
            yield from _source_problems(source, f"{field}.{part}", name)


def _claim_problems(volume: Volume, field: str) -> Iterator[Problem]:
    claim = volume.persistent_volume_claim
    if claim is not None and not names.is_subdomain(claim.claim_name):
        yield Problem(field, names.SUBDOMAIN_RULE)


def mount_problems(mount: VolumeMount, field: str, *, is_privileged: bool) -> Iterator[Problem]:
    """Yield what is wrong with where a container sees a volume."""
    path = mount.mount_path
    if not is_absolute(path) or path == "/" or ":" in path:
        yield Problem(f"{field}.mountPath", "must be an absolute path, not '/', without ':'")
    for name, part in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
        if not is_path_inside(part):
            yield Problem(f"{field}.{name}", SUB_PATH_RULE)
    if mount.sub_path and mount.sub_path_expr:
        yield Problem(f"{field}.subPathExpr", "subPathExpr and subPath are mutually exclusive")
    if mount.mount_propagation == "Bidirectional" and not is_privileged:
        message = "Bidirectional mount propagation is available only to privileged containers"
        yield Problem(f"{field}.mountPropagation", message, "FieldValueForbidden")


def is_absolute(path: str) -> bool:
    return path.startswith("/") and ":" not in path and _is_plain(path)


def is_path_inside(path: str) -> bool:
    """Return whether a path stays inside the folder that it is read in, as Kubernetes judges."""
    fits = all(len(part) <= PART_CHARS_MAX for part in path.split("/"))
    return not path.startswith("/") and fits and _is_plain(path)


def _is_plain(path: str) -> bool:
    """Whether a path goes up nowhere, can be printed, and is no longer than the kernel takes."""
    is_printable = not any(ord(letter) < 32 for letter in path)
    return ".." not in path.split("/") and is_printable and len(path) <= PATH_CHARS_MAX


def _size_problems(volume: EmptyDir, field: str) -> Iterator[Problem]:
    if volume.size_limit is not None and volume.size_limit.amount < 0:
        yield Problem(f"{field}.sizeLimit", "must not be negative")


def _projected_problems(volume: ProjectedVolume, field: str) -> Iterator[Problem]:
    for index, source in enumerate(volume.sources):
        yield from _projection_problems(source, f"{field}.sources[{index}]")
    yield from _conflicts(volume.sources, field)


def _projection_problems(source: VolumeProjection, field: str) -> Iterator[Problem]:
    parts = {
        "configMap": source.config_map,
        "secret": source.secret,
        "downwardAPI": source.downward_api,
        "serviceAccountToken": source.service_account_token,
    }
    found = [part for part, one in parts.items() if one is not None]
    yield from _count_problems(found, parts, field)
    if source.service_account_token is not None:
        yield from _token_problems(source.service_account_token, f"{field}.serviceAccountToken")
    if len(found) == 1:
        yield from _source_problems(source, f"{field}.{found[0]}", "name")


def _token_problems(source: ServiceAccountTokenProjection, field: str) -> Iterator[Problem]:
    if not LIFE_S_MIN <= source.expiration_seconds <= LIFE_S_MAX:
        bounds = f"must be from {LIFE_S_MIN} (10 minutes) to {LIFE_S_MAX} seconds"
        yield Problem(f"{field}.expirationSeconds", bounds)
    yield from _path_problems(source.path, f"{field}.path")


def _count_problems(found: Sequence[str], parts: Iterable[str], field: str) -> Iterator[Problem]:
    if len(found) != 1:
        message = f"needs exactly one of {', '.join(parts)}"
        yield Problem(field, message, "FieldValueRequired")


def _source_problems(source: VolumeProjection, field: str, name: str) -> Iterator[Problem]:
    named = source.config_map or source.secret
    if named is not None:
        if not names.is_subdomain(named.name):
            yield Problem(f"{field}.{name}", names.SUBDOMAIN_RULE)
        for index, item in enumerate(named.items):
            yield from _item_problems(item, f"{field}.items[{index}]")
    if source.downward_api is not None:
        for index, file in enumerate(source.downward_api.items):
            yield from _downward_problems(file, f"{field}.items[{index}]")


def _item_problems(item: KeyToPath, field: str) -> Iterator[Problem]:
    if not item.key:
        yield Problem(f"{field}.key", "is required", "FieldValueRequired")
    yield from _path_problems(item.path, f"{field}.path")


def _downward_problems(file: DownwardFile, field: str) -> Iterator[Problem]:
    yield from _path_problems(file.path, f"{field}.path")
    field_ref, amount = file.field_ref, file.resource_field_ref
    if field_ref is None and amount is None:
        message = "one of fieldRef and resourceFieldRef is required"
        yield Problem(field, message, "FieldValueRequired")
    elif field_ref is not None and amount is not None:
        yield Problem(field, "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif field_ref is not None:
        yield from field_problems(field_ref, f"{field}.fieldRef", FILE_FIELDS)
    elif amount is not None:
        if not amount.container_name:
            # A volume is of the pod: there is no container that could be meant without its name.
            where = f"{field}.resourceFieldRef.containerName"
            yield Problem(where, "is required", "FieldValueRequired")
        yield from resource_problems(amount, f"{field}.resourceFieldRef")


def _path_problems(path: str, field: str) -> Iterator[Problem]:
    if not path:
        yield Problem(field, "is required", "FieldValueRequired")
        return
    normal = normpath(path)
    # `./..data` is one of the names that the writer of these files keeps for itself, too.
    is_own = path.startswith("..") or normal.startswith("..")
    if is_own or normal == "." or not is_path_inside(path):
        yield Problem(field, FILE_PATH_RULE)


def _conflicts(sources: Iterable[VolumeProjection], field: str) -> Iterator[Problem]:
    """Yield each path that two sources name, as far as it is known before they are read."""
    seen: set[str] = set()
    for source in sources:
        for path in _paths_of(source):
            if path in seen:
                message = f"conflicting duplicate paths: {path[:255]!r}"
                yield Problem(field, message, "FieldValueDuplicate")
            seen.add(path)


def _paths_of(source: VolumeProjection) -> list[str]:
    if source.service_account_token is not None:
        return [normpath(source.service_account_token.path)]
    made = source.config_map or source.secret or source.downward_api
    return [normpath(item.path) for item in made.items] if made is not None else []
