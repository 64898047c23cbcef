"""How many pods each ReplicaSet of a Deployment is to have next: one step of a rollout. Pure.

Each function returns sizes by the uid of a ReplicaSet, and only those that it decides on. A step
either adds new pods or removes old ones, and the next step counts what is then there. Two bounds
hold after every step: never more pods than `replicas` and the surge, and never fewer available ones
than `replicas` less the unavailable, as long as there were as many before it.
"""

from collections.abc import Iterable, Mapping, Sequence

from controllers.deployments.rollout import Rollout, age_order, number_in
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.revisions import DESIRED, MAX

type Sizes = Mapping[str, int]


def total(sets: Iterable[ReplicaSet]) -> int:
    return sum(one.spec.replicas for one in sets)


def available(one: ReplicaSet) -> int:
    """Return how many available pods it keeps: those beyond its size are about to go."""
    return min(one.status.available_replicas, one.spec.replicas)


def active(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return [one for one in sets if one.spec.replicas > 0]


def is_resized(rollout: Rollout) -> bool:
    """Whether `replicas` changed since the ReplicaSets that have pods were scaled."""
    replicas = rollout.wanted.spec.replicas
    sizes = [number_in(one, DESIRED) for one in active(rollout.every)]
    return any(size not in (None, replicas) for size in sizes)


def first_size(rollout: Rollout) -> int:
    """Return with how many pods the ReplicaSet of the present template begins."""
    return _grown(rollout, 0, total(rollout.old))


def rolled(rollout: Rollout) -> Sizes:
    """Return the next step of a rolling update; nothing where it waits, or is at its end."""
    new = rollout.new
    if new is None:
        return {}
    size = _new_size(rollout, new)
    if size != new.spec.replicas:
        return {new.metadata.uid: size}
    return _shrunk(rollout, new)


def recreated(rollout: Rollout, *, are_old_gone: bool) -> Sizes:
    """Return the next step of a Recreate: all old pods go before the first new one comes."""
    if old := active(rollout.old):
        return {one.metadata.uid: 0 for one in old}
    new, replicas = rollout.new, rollout.wanted.spec.replicas
    if new is None or not are_old_gone or new.spec.replicas == replicas:
        return {}
    return {new.metadata.uid: replicas}


def resized(rollout: Rollout) -> Sizes:
    """Return the sizes after `replicas` changed, also in the middle of a rollout or a pause."""
    new, replicas = rollout.new, rollout.wanted.spec.replicas
    holders = active(rollout.every)
    if len(holders) <= 1:
        only = holders[0] if holders else new or next(reversed(rollout.old), None)
        return {} if only is None else {only.metadata.uid: replicas}
    if new is not None and _is_saturated(rollout, new):
        return {one.metadata.uid: 0 for one in rollout.old}
    return _shared_out(rollout, holders) if rollout.is_rolling else {}


def _new_size(rollout: Rollout, new: ReplicaSet) -> int:
    replicas = rollout.wanted.spec.replicas
    if new.spec.replicas >= replicas:
        return replicas
    return _grown(rollout, new.spec.replicas, total(rollout.every))


def _grown(rollout: Rollout, size: int, pod_count: int) -> int:
    replicas = rollout.wanted.spec.replicas
    if not rollout.is_rolling:
        return replicas
    room = max(0, replicas + rollout.surge - pod_count)
    return size + min(room, replicas - size)


def _shrunk(rollout: Rollout, new: ReplicaSet) -> Sizes:
    """Return smaller sizes of old ReplicaSets: first without the pods that are not available."""
    old = active(rollout.old)
    floor = rollout.wanted.spec.replicas - rollout.unavailable
    unavailable_new = new.spec.replicas - available(new)
    room = total(rollout.every) - floor - unavailable_new
    sizes = {one.metadata.uid: one.spec.replicas for one in old}
    for one in old:
        unhealthy = max(0, min(room, one.spec.replicas - available(one)))
        sizes[one.metadata.uid] -= unhealthy
        room -= unhealthy
    # What is left are the available pods above the floor.
    for one in old:
        fewer = max(0, min(room, sizes[one.metadata.uid]))
        sizes[one.metadata.uid] -= fewer
        room -= fewer
    return {one.metadata.uid: sizes[one.metadata.uid] for one in old}


def _is_saturated(rollout: Rollout, new: ReplicaSet) -> bool:
    replicas = rollout.wanted.spec.replicas
    sizes = (new.spec.replicas, number_in(new, DESIRED), new.status.available_replicas)
    return sizes == (replicas, replicas, replicas)


def _shared_out(rollout: Rollout, holders: Sequence[ReplicaSet]) -> Sizes:
    """Share a change of size out in proportion to what each ReplicaSet has.

    The largest come first, of equal ones the newest where pods are added, the oldest where they are
    taken away. What rounding leaves over is the first one's.
    """
    replicas = rollout.wanted.spec.replicas
    to_add = (replicas + rollout.surge if replicas else 0) - total(holders)
    by_age = sorted(holders, key=age_order, reverse=to_add > 0)
    ordered = sorted(by_age, key=lambda one: -one.spec.replicas)
    sizes, added = {}, 0
    for one in ordered:
        share = _share(rollout, one, to_add - added)
        sizes[one.metadata.uid] = one.spec.replicas + share
        added += share
    first = ordered[0].metadata.uid
    sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _share(rollout: Rollout, one: ReplicaSet, left: int) -> int:
    """Return by how much a ReplicaSet changes: in proportion, and no more than is left."""
    replicas = rollout.wanted.spec.replicas
    if not left:
        return 0
    before = number_in(one, MAX) or rollout.wanted.status.replicas
    size = one.spec.replicas
    if replicas == 0:
        fraction = -size
    elif before == 0:
        return 0
    else:
        # A half is rounded up, as in Kubernetes; the division is exact.
        fraction = (2 * size * (replicas + rollout.surge) + before) // (2 * before) - size
    return min(fraction, left) if left > 0 else max(fraction, left, -size)
