"""Which RoutePolicy a road has: the narrowest that is for it, then the oldest. Pure."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

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
        self._by_target: dict[Ref, list[RoutePolicy]] = {}
        some = [one for one in policies if not one.metadata.is_deleted]
        for one in some:
            target = one.spec.target
            ref = Ref(target.kind, one.metadata.namespace, target.name)
            self._by_target.setdefault(ref, []).append(one)
        self._chosen = {road: self._choose(road) for road in roads}
        self._all = some

    def policy_for(self, road: Road) -> RoutePolicy | None:
        """Return the policy of one of the roads."""
        return self._chosen[road]

    def _choose(self, road: Road) -> RoutePolicy | None:
        service = Ref("Service", road.namespace, road.service)
        found = [
            one
            for ref in (road.owner, service)
            for one in self._by_target.get(ref, ())
            if _is_for(one, road)
        ]
        return min(found, key=_rank, default=None)

    @property
    def unused(self) -> Iterator[tuple[Ref, str]]:
        """Yield the policies that no road has, with the reason."""
        used = {one.ref for one in self._chosen.values() if one is not None}
        for one in sorted(self._all, key=lambda each: each.ref):
            if one.ref not in used:
                yield one.ref, "no road has it: none is its target, or another policy goes first"


def _is_for(policy: RoutePolicy, road: Road) -> bool:
    target = policy.spec.target
    path = decoded(target.path).rstrip("/") or "/" if target.path else ""
    is_host = target.host in ("", road.place.host)
    return is_host and (not path or path == (road.place.path.rstrip("/") or "/"))


def _rank(policy: RoutePolicy) -> tuple[int, bool, datetime, str, str]:
    """Return what orders policies: a path is narrower than a host, an object than a service."""
    target, meta = policy.spec.target, policy.metadata
    width = 3 - 2 * bool(target.path) - bool(target.host)
    at = meta.creation_timestamp or _NEVER
    return width, target.kind == "Service", at, meta.namespace, meta.name
