"""Which logs of containers that are gone are kept, where they lie, and which one is meant. Pure.

The path of a log says all that is known of it: no other record can be lost or disagree.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.spec import default_container
from cubernetes.api.names import is_label, is_subdomain
from kubelet.runtime.driver import Container

# Of each container that many lives, beside those that the runtime has.
LIVES_MAX = 3
COUNT_MAX = 1000
AGE_MAX_S = 7 * 86_400.0
# Where this node is short of disk, all of them together have no more.
PRESSED_BYTES_MAX = 16 << 20

_POD = re.compile(r"(0|[1-9][0-9]{0,15})\.([0-9A-Za-z][0-9A-Za-z-]{0,62})")
_COUNT = re.compile(r"(0|[1-9][0-9]{0,8})(\.default)?")


class Life(NamedTuple):
    """One life of a container. made_at: when its pod was made, in seconds since 1970.

    is_default: whether its pod meant this container where nobody names one.
    """

    namespace: str
    pod: str
    made_at: int
    uid: str
    container: str
    attempt: int
    is_default: bool = False

    @property
    def path(self) -> str:
        made = f"{self.made_at}.{self.uid}"
        count = f"{self.attempt}.default" if self.is_default else str(self.attempt)
        return f"{self.namespace}/{self.pod}/{made}/{self.container}/{count}"


class Kept(NamedTuple):
    """The log of a life, as it lies on the disk."""

    life: Life
    kept_at_s: float
    size_bytes: int


def life_of(found: Container, pod: Pod | None) -> Life:
    """Return which life a container is of; pod: None where nobody knows it any more."""
    made = (pod.metadata.creation_timestamp if pod is not None else None) or found.created_at
    at = max(0, int(made.timestamp())) if isinstance(made, datetime) else 0
    is_default = pod is not None and default_container(pod.metadata, pod.spec) == found.name
    return Life(
        found.namespace, found.pod_name, at, found.pod_uid, found.name, found.attempt, is_default
    )


def life_at(path: str) -> Life | None:
    """Return the life whose log lies at a path; None where none of ours does."""
    parts = path.split("/")
    if len(parts) != 5:
        return None
    namespace, pod, made, container, attempt = parts
    known, count = _POD.fullmatch(made), _COUNT.fullmatch(attempt)
    is_named = is_label(namespace) and is_subdomain(pod) and is_label(container)
    if known is None or count is None or not is_named:
        return None
    is_default = count[2] is not None
    return Life(namespace, pod, int(known[1]), known[2], container, int(count[1]), is_default)


def surplus(kept: Iterable[Kept], now_s: float, bytes_max: int) -> list[Life]:
    """Return the lives whose logs go: what is too much of a container, too old, or has no room.

    The newest are given room first.
    """
    lives: dict[tuple[str, str], int] = {}
    ranked = []
    for one in sorted(kept, key=lambda one: -one.life.attempt):
        name = (one.life.uid, one.life.container)
        lives[name] = lives.get(name, 0) + 1
        ranked.append((lives[name] <= LIVES_MAX, one))
    gone, count, size_bytes = [], 0, 0
    for is_allowed, one in sorted(ranked, key=lambda pair: (-pair[1].kept_at_s, pair[1].life)):
        is_fresh = now_s - one.kept_at_s <= AGE_MAX_S
        has_room = count < COUNT_MAX and size_bytes + one.size_bytes <= bytes_max
        if is_allowed and is_fresh and has_room:
            count, size_bytes = count + 1, size_bytes + one.size_bytes
        else:
            gone.append(one.life)
    return gone


def chosen(found: Sequence[Container], kept: Sequence[Kept], back: int) -> Container | Life | None:
    """Return which life is so many back, 0 the newest: one that the runtime has, or a kept one.

    found, kept: of one container of one pod.
    """
    lives: dict[int, Container | Life] = {one.life.attempt: one.life for one in kept}
    lives |= {one.attempt: one for one in found}
    newest = sorted(lives, reverse=True)
    return lives[newest[back]] if back < len(newest) else None
