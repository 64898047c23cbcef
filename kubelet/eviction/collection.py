"""Which images leave a disk that fills up: above the high mark, down to the low one. Pure.

An image is used while a container of this node, the pause container or a pod that is wanted here
names it. Of the others those that were used longest ago go first; never one that came a moment ago,
and never one that this kubelet did not pull itself: perhaps nobody could bring it back, and it is
not the kubelet's.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from kubelet.eviction.room import Share
from kubelet.runtime.driver import LocalImage

HIGH_PERCENT, LOW_PERCENT = 85, 80
AGE_MIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Seen:
    """When an image was seen here first, and in use last; None: not in this kubelet's life."""

    first_s: float
    used_s: float | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """take: the images to remove, the first to go first. wanted_bytes: how much is to be freed.

    spare: those that go after them, should that not be enough. kept: why each other stays, by id.
    """

    take: Sequence[LocalImage] = ()
    spare: Sequence[LocalImage] = ()
    wanted_bytes: int = 0
    kept: Mapping[str, str] = field(default_factory=dict)


def seen_after(
    before: Mapping[str, Seen], images: Iterable[LocalImage], used: Set[str], now_s: float
) -> Mapping[str, Seen]:
    """Return what is known of each image after a look; used: the ids of those in use."""
    found = {one.id: before.get(one.id, Seen(now_s)) for one in images}
    return {key: replace(one, used_s=now_s) if key in used else one for key, one in found.items()}


def bytes_over(share: Share) -> int:
    """Return how much is to be freed of a disk: nothing up to the high mark."""
    used = share.total - share.free
    if share.total == 0 or used * 100 < share.total * HIGH_PERCENT:
        return 0
    return used - share.total * LOW_PERCENT // 100


def collection_of(
    images: Sequence[LocalImage],
    own: Set[str],
    used: Set[str],
    seen: Mapping[str, Seen],
    wanted_bytes: int,
    now_s: float,
) -> Collection:
    """Return what to remove to free so much. own: the ids of those that the kubelet pulled."""
    kept: dict[str, str] = {}
    free: list[LocalImage] = []
    for one in images:
        why = "" if one.id in own else "was not pulled by this kubelet"
        why = why or _why_kept(one, used, seen, now_s)
        if why:
            kept[one.id] = why
        else:
            free.append(one)
    free.sort(key=lambda one: _age_key(seen[one.id], one))
    take: list[LocalImage] = []
    left = wanted_bytes
    for one in free:
        if left <= 0:
            break
        take.append(one)
        left -= one.size_bytes
    return Collection(tuple(take), tuple(free[len(take) :]), wanted_bytes, kept)


def _why_kept(one: LocalImage, used: Set[str], seen: Mapping[str, Seen], now_s: float) -> str:
    if one.id in used:
        return "in use"
    if one.id not in seen or now_s - seen[one.id].first_s < AGE_MIN_S:
        return "came a moment ago"
    # The engine would have to be forced; and a tag may be somebody else's.
    return "" if has_one_name(one.names) else "has several names"


def has_one_name(names: Iterable[str]) -> bool:
    """Whether an image has one tag at most, and is of one repository."""
    tags, repositories = 0, set[str]()
    for name in names:
        repository, mark, _ = name.partition("@")
        if not mark:
            tags += 1
            repository = name.rpartition(":")[0]
        repositories.add(repository)
    return tags <= 1 and len(repositories) <= 1


def _age_key(seen: Seen, one: LocalImage) -> tuple[float, float, str]:
    used_s = seen.used_s if seen.used_s is not None else float("-inf")
    return used_s, seen.first_s, one.id
