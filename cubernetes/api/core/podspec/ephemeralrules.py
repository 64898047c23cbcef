"""What makes the ephemeral containers of a pod legal, in the words of Kubernetes. Pure."""

from collections.abc import Iterator, Sequence

from cubernetes.api.core.podspec.ephemeral import EphemeralContainer
from cubernetes.api.core.podspec.spec import PodSpec, every_container
from cubernetes.api.errors import Problem

NOT_SET = "cannot be set for an Ephemeral Container"
FORBIDDEN = "FieldValueForbidden"


def ephemeral_problems(spec: PodSpec, field: str) -> Iterator[Problem]:
    """Yield what only ephemeral containers may not be; field is that of the pod's spec."""
    lasting = {one.name for one in every_container(spec)}
    names = set(lasting)
    for index, one in enumerate(spec.ephemeral_containers):
        where = f"{field}.ephemeralContainers[{index}]"
        if one.name in names:
            yield Problem(f"{where}.name", "", "FieldValueDuplicate")
        names.add(one.name)
        target = one.target_container_name
        if target and target not in lasting:
            told = "is none of the pod's containers and init containers"
            yield Problem(f"{where}.targetContainerName", told, "FieldValueNotFound")
        yield from _unfit(one, where)


def _unfit(one: EphemeralContainer, field: str) -> Iterator[Problem]:
    for part, value in (
        ("ports", one.ports),
        ("resources", one.resources.limits or one.resources.requests),
        ("livenessProbe", one.liveness_probe),
        ("readinessProbe", one.readiness_probe),
        ("startupProbe", one.startup_probe),
        ("lifecycle", one.lifecycle),
        ("restartPolicy", one.restart_policy),
    ):
        if value:
            yield Problem(f"{field}.{part}", NOT_SET, FORBIDDEN)
    for index, mount in enumerate(one.volume_mounts):
        for part, path in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
            if path:
                yield Problem(f"{field}.volumeMounts[{index}].{part}", NOT_SET, FORBIDDEN)


def added_problems(
    old: Sequence[EphemeralContainer], new: Sequence[EphemeralContainer], field: str
) -> Iterator[Problem]:
    """Yield what a write does beside adding ephemeral containers, in whatever order."""
    by_name = {one.name: one for one in new}
    for before in old:
        now = by_name.get(before.name)
        if now is None:
            told = f'existing ephemeral containers "{before.name}" may not be removed'
            yield Problem(field, told, FORBIDDEN)
        elif now != before:
            told = f'existing ephemeral containers "{before.name}" may not be changed'
            yield Problem(field, told, FORBIDDEN)
