"""Which files a volume has that is made from ConfigMaps, Secrets and fields of its pod. Pure."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.data import configdata
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.references import Named, claims_in, named_in_volumes
from cubernetes.api.core.podspec.volumes.volume import (
    ConfigMapProjection,
    DownwardFile,
    DownwardProjection,
    SecretProjection,
    Volume,
    VolumeProjection,
    default_mode_of,
    is_made_from_objects,
    sources_of,
)
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import Object
from kubelet.objects.origins import NOTHING, amount_of, field_of
from kubelet.objects.tokenwishes import Tokens, Wish
from kubelet.runtime.driver import RuntimeTrouble

GROUP_READS = 0o440
TOLD_MAX = 3  # reasons in one message
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a",
            "\b": "\\b", "\f": "\\f", "\v": "\\v"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Content:
    """What volumes are made from, as it is now.

    objects: what exists of the ConfigMaps and Secrets that the pod's volumes name.
    unknown: those of which nothing is known yet; what was written before goes on.
    tokens: those of the pod's service account.
    untold: why tokens are missing; what was written before goes on.
    is_away: they are missing because the API server does not answer.
    now: when this was so; versions of a volume's files are named by it.
    allocatable: what the node has for pods, in the units in which amounts are counted.
    """

    objects: Mapping[Named, Object] = field(default_factory=dict)
    unknown: frozenset[Named] = frozenset()
    tokens: Tokens = field(default_factory=dict, repr=False)
    untold: str = ""
    is_away: bool = False
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    allocatable: Mapping[str, int] = field(default_factory=dict)


EMPTY = Content()


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is to be: a path in the volume, its bytes and its permission bits."""

    content: bytes = field(repr=False)  # it may be a secret
    mode: int
    group: int | None = None  # None is the kubelet's own


class Missing(Exception):
    """What a volume requires is not there; the text says what, and holds no value."""


def files_of(pod: Pod, volume: Volume, content: Content) -> Mapping[str, File]:
    """Return the volume's files by their path. Of two with one path, the later source wins.

    Raises: Missing: an object, or a key of one, that is not optional.
    """
    reasons: list[str] = []
    files: dict[str, File] = {}
    for source in sources_of(volume):
        found = _files_from(pod, source, default_mode_of(volume), content, reasons)
        files |= {posixpath.normpath(path): file for path, file in found}
    for path in sorted(files):
        above = posixpath.dirname(path)
        while above:
            if above in files:
                reasons.append(f"{above} is wanted as a file, and as a folder for {path}")
            above = posixpath.dirname(above)
    group = pod.spec.security_context.fs_group
    if group is not None:
        # As Kubernetes does it: a process in the group reads every file.
        files = {
            path: replace(file, group=group, mode=file.mode | GROUP_READS)
            for path, file in files.items()
        }
    if reasons:
        more = "; and more" if len(reasons) > TOLD_MAX else ""
        raise Missing("; ".join(reasons[:TOLD_MAX]) + more)
    return files


def mark_of(pod: Pod, content: Content) -> tuple[object, ...] | None:
    """Return a mark that differs where files of the pod's volumes may; None: they are not known.

    A pod without such volumes has the empty mark.
    """
    volumes = [one for one in pod.spec.volumes if is_made_from_objects(one)]
    if not volumes:
        return ()
    if content.unknown or content.untold:
        return None
    versions = tuple(
        (named, one.metadata.uid, one.metadata.resource_version)
        for named, one in sorted(content.objects.items())
    )
    meta, own = pod.metadata, list[object]()
    if any(_told_in(pod)):
        own += [sorted(meta.labels.items()), sorted(meta.annotations.items())]
    if tells_amounts(pod):
        own.append(sorted(content.allocatable.items()))
    return (versions, *sorted(content.tokens.items()), *own)


def tells_amounts(pod: Pod) -> bool:
    """Whether files of the pod tell what its containers may take, which the node may limit."""
    return any(one.resource_field_ref is not None for one in _told_in(pod))


def _told_in(pod: Pod) -> Iterator[DownwardFile]:
    """Yield the files of a pod's volumes that are about itself."""
    for volume in pod.spec.volumes:
        for source in sources_of(volume):
            if source.downward_api is not None:
                yield from source.downward_api.items


def is_made_from(pod: Pod, namespace: str, named: Named) -> bool:
    """Whether a volume of the pod is made from an object, or is that of a claim."""
    names = named_in_volumes(pod.spec) | claims_in(pod.spec)
    return pod.metadata.namespace == namespace and named in names


def _files_from(
    pod: Pod, source: VolumeProjection, mode: int, content: Content, reasons: list[str]
) -> Iterator[tuple[str, File]]:
    if source.downward_api is not None:
        yield from _fields(pod, source.downward_api, mode, content.allocatable, reasons)
    if (wanted := source.service_account_token) is not None:
        wish = Wish(wanted.audience, wanted.expiration_seconds)
        if wish in content.tokens:
            yield wanted.path, File(content.tokens[wish].encode(), mode)
        else:
            reasons.append(content.untold or "its token is not there")
    for kind, projected in (("ConfigMap", source.config_map), ("Secret", source.secret)):
        if projected is not None:
            one = content.objects.get(Named(kind, projected.name))
            yield from _keys(kind, projected, one, mode, reasons)


def _fields(
    pod: Pod,
    wanted: DownwardProjection,
    mode: int,
    allocatable: Mapping[str, int],
    reasons: list[str],
) -> Iterator[tuple[str, File]]:
    for item in wanted.items:
        try:
            text = _text_of(pod, item, allocatable)
        except RuntimeTrouble as error:
            reasons.append(str(error))
            continue
        yield item.path, File(text.encode(), mode if item.mode is None else item.mode)


def _text_of(pod: Pod, item: DownwardFile, allocatable: Mapping[str, int]) -> str:
    """Return what a file tells of its pod. Raises: RuntimeTrouble: it has no such container."""
    if (amount := item.resource_field_ref) is not None:
        return str(amount_of(pod, amount.container_name, amount, allocatable))
    path = item.field_ref.field_path if item.field_ref is not None else ""
    whole = {
        "metadata.labels": pod.metadata.labels,
        "metadata.annotations": pod.metadata.annotations,
    }
    return lines_of(whole[path]) if path in whole else field_of(pod, path, NOTHING)


def lines_of(values: Mapping[str, str]) -> str:
    """Return labels or annotations as files have them: `key="value"`, in the order of keys."""
    return "\n".join(f"{key}={quoted(values[key])}" for key in sorted(values))


def quoted(text: str) -> str:
    """Return text in quotes as Go writes it: what cannot be printed is escaped."""
    return '"' + "".join(_escaped(one) for one in text) + '"'


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isprintable():
        return one
    number = ord(one)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _keys(
    kind: str,
    wanted: ConfigMapProjection | SecretProjection,
    one: Object | None,
    mode: int,
    reasons: list[str],
) -> Iterator[tuple[str, File]]:
    word = kind.lower()
    if one is None:
        if not wanted.optional:
            reasons.append(f'{word} "{wanted.name}" not found')
        return
    values = _values_of(one)
    if not wanted.items:
        for key in sorted(values):
            yield key, File(values[key], mode)
    absent: Sequence[str] = [item.key for item in wanted.items if item.key not in values]
    if absent and not wanted.optional:
        reasons += [f'{word} "{wanted.name}" has no key "{key[:253]}"' for key in absent]
    for item in wanted.items:
        if item.key in values:
            yield item.path, File(values[item.key], mode if item.mode is None else item.mode)


def _values_of(one: Object) -> Mapping[str, bytes]:
    match one:
        case ConfigMap():
            texts = {key: text.encode() for key, text in one.data.items()}
            return texts | _decoded(one.binary_data)
        case Secret():
            return _decoded(one.data)
        case _:
            raise AssertionError(f"{one.ref} holds no files")


def _decoded(values: Mapping[str, str]) -> dict[str, bytes]:
    return {key: configdata.decoded(text) or b"" for key, text in values.items()}
