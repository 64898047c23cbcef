"""Which RoutePolicy a road has: the narrowest that is for it, then the oldest. Pure."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import NamedTuple

from cubernetes.api.cubernetes.routepolicy import RoutePolicy
from cubernetes.api.meta import Ref
from cubernetes.api.networking.urls import decoded
from cubernetes.api.roads import Road

KEY_CHARS = 16
_NEVER = datetime.max.replace(tzinfo=UTC)


def key_of(policy: RoutePolicy) -> str:
    """Return a name by a policy's place, that no other has and any configuration takes."""
    meta = policy.metadata
    return hashlib.sha256(f"{meta.namespace}/{meta.name}".encode()).hexdigest()[:KEY_CHARS]


class Policies:
    """Which policy each of the roads has, among those of its owner and of its service."""

    def __init__(self, policies: Iterable[RoutePolicy], roads: Iterable[Road]) -> None:
        self._best: dict[_Target, RoutePolicy] = {}
        some = [one for one in policies if not one.metadata.is_deleted]
        for one in some:
            target = _target_of(one)
            self._best[target] = min(self._best.get(target, one), one, key=_rank)
        self._chosen = {road: self._choose(road) for road in roads}
        self._all = some

    def policy_for(self, road: Road) -> RoutePolicy | None:
        """Return the policy of one of the roads."""
        return self._chosen[road]

    def _choose(self, road: Road) -> RoutePolicy | None:
        place, service = road.place, Ref("Service", road.namespace, road.service)
        places = product((road.owner, service), ("", place.host), ("", _path(place.path)))
        found = [one for each in places if (one := self._best.get(_Target(*each))) is not None]
        return min(found, key=_rank, default=None)

    @property
    def unused(self) -> Iterator[tuple[Ref, str]]:
        """Yield the policies that no road has, with the reason."""
        used = {one.ref for one in self._chosen.values() if one is not None}
        for one in sorted(self._all, key=lambda each: each.ref):
            if one.ref not in used:
                yield one.ref, "no road has it: none is its target, or another policy goes first"


class _Target(NamedTuple):
    """What a policy is for; an empty host or path is every one."""

    ref: Ref
    host: str
    path: str


def _target_of(policy: RoutePolicy) -> _Target:
    target = policy.spec.target
    ref = Ref(target.kind, policy.metadata.namespace, target.name)
    return _Target(ref, target.host, _path(decoded(target.path)) if target.path else "")


def _path(path: str) -> str:
    return path.rstrip("/") or "/"


def _rank(policy: RoutePolicy) -> tuple[int, bool, datetime, str, str]:
    """Return what orders policies: a path is narrower than a host, an object than a service."""
    target, meta = policy.spec.target, policy.metadata
    width = 3 - 2 * bool(target.path) - bool(target.host)
    at = meta.creation_timestamp or _NEVER
    return width, target.kind == "Service", at, meta.namespace, meta.name
