"""How a volume's files become others all at once: what is wanted and found in, steps out. Pure.

As Kubernetes' atomic writer does it: a version of the files is a folder of its own, `..data` is a
link to the current one, and each name that a container sees is a link into `..data`. A new version
is written beside the current one; one rename of `..data` makes it current. Cut between any two
steps, a container sees one version or the other whole, and the next plan finishes the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from kubelet.files.contents import File

DATA, DATA_NEXT = "..data", "..data_tmp"
HIDDEN = ".."  # what begins with it is the writer's own: no key and no path does


@dataclass(frozen=True, slots=True)
class VolumeFolder:
    """A volume's folder as it is.

    current: the folder that `..data` leads to; empty where it leads to none.
    files: what lies in there, by path.
    links: names that containers see, and where they lead.
    others: what else of the writer's own lies there.
    strays: names that are no links.
    """

    current: str = ""
    files: Mapping[str, File] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    strays: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder in the volume, which is not there yet."""

    path: str


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a file in the volume, which is not there yet."""

    path: str
    file: File


@dataclass(frozen=True, slots=True)
class MakeLink:
    """Make a link in the volume, which is not there yet."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Rename:
    """Put a link in the place of another, in one step."""

    name: str
    to: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a link, or a folder with all that is in it."""

    name: str


type Step = MakeFolder | WriteFile | MakeLink | Rename | Remove


def steps(wanted: Mapping[str, File], found: VolumeFolder, now: datetime) -> list[Step]:
    """Return the steps after which containers see what is wanted, and nothing else lies there."""
    planned: list[Step] = []
    # What a life of before has begun and not finished, before its names are needed again.
    planned += [Remove(name) for name in sorted(found.others)]
    is_new = not found.current or dict(found.files) != dict(wanted)
    if is_new:
        planned += _version(wanted, version_name(now, found))
    names = sorted({PurePosixPath(path).parts[0] for path in wanted})
    targets = {name: f"{DATA}/{name}" for name in names}
    wrong = {name for name in names if name in found.links and found.links[name] != targets[name]}
    planned += [Remove(name) for name in sorted(wrong | (found.strays & set(names)))]
    there = found.links.keys() - wrong
    planned += [MakeLink(name, targets[name]) for name in names if name not in there]
    planned += [Remove(name) for name in sorted((found.links.keys() | found.strays) - set(names))]
    if is_new and found.current:
        planned.append(Remove(found.current))
    return planned


def version_name(now: datetime, found: VolumeFolder) -> str:
    """Return the name of a new version's folder: by the time, and another than what is there."""
    name = f"..{now:%Y_%m_%d_%H_%M_%S}.{now.microsecond:06d}"
    return f"{name}_2" if found.current == name else name


def _version(wanted: Mapping[str, File], version: str) -> list[Step]:
    folders = {str(above) for path in wanted for above in PurePosixPath(path).parents if above.name}
    planned: list[Step] = [MakeFolder(version)]
    planned += [MakeFolder(f"{version}/{path}") for path in sorted(folders)]
    planned += [WriteFile(f"{version}/{path}", wanted[path]) for path in sorted(wanted)]
    return [*planned, MakeLink(DATA_NEXT, version), Rename(DATA_NEXT, DATA)]
