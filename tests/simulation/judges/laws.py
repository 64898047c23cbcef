"""What may never be in a simulated cluster, of objects that belong together; fed by the ledger."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from controllers.disruption.moving import destination
from controllers.disruption.rebalance import ALLOWED
from controllers.jobs.cronjobs import scheduled_at
from controllers.owners import is_managed_by
from controllers.quotas import used_of
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.shares import share_of
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import Job, is_over
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.service import Service
from cubernetes.api.meta import Amounts, Object
from cubernetes.api.quantities import Quantity

# Whose objects a simulated quota counts.
COUNTED = (Pod, Service, ReplicaSet)
# So late an API server may hear of a new quota; until then it charges it for nothing.
UNKNOWN_S_MAX = 45.0
# So old a size may be that a controller with a late view still acts upon: where much goes wrong,
# and where nothing does.
STALE_S_MAX, STALE_S_MAX_FAIR = 90.0, 10.0
# A CronJob of every minute is never later than this with a Job; the rest is on the way.
LATE_S_MAX = 60.0 + 30.0
NOTHING = Quantity("0")


class Kept(Protocol):
    """Where objects stand as they were last written."""

    def all[O: Object](self, kind: type[O]) -> list[O]: ...


class Change(NamedTuple):
    """One object of a commit, before and after."""

    old: Object | None
    new: Object | None


class Identity(NamedTuple):
    """Whose name a pod of a StatefulSet has."""

    namespace: str
    name: str


class Laws:
    """Looks at each commit, after the ledger has it.

    is_fair: nothing fails and nobody evicts, so that rollouts must keep what is available.
    forced: pods that went without a word of their node: those may still run.
    """

    def __init__(self, kept: Kept, now_s: Callable[[], float]) -> None:
        self._kept, self._now_s = kept, now_s
        self.is_fair = False
        self.forced: set[str] = set()
        self.identities: dict[str, Identity] = {}
        # (time, least, wanted) of each Deployment, as far as somebody may still act upon it.
        self._sizes: dict[str, deque[tuple[float, int, int]]] = {}
        # For which times each CronJob has had a Job, by the uid of the CronJob.
        self._times: dict[str, list[datetime]] = {}
        self._bound_since_s: dict[str, float] = {}
        # The quotas that something was made beside, before every server knew them.
        self._uncharged: set[str] = set()

    def broken_by(self, changes: Sequence[Change]) -> Iterator[str]:
        """Yield what a commit breaks."""
        for old, new in changes:
            self._note(old, new)
            if isinstance(old, ReplicaSet) and isinstance(new, ReplicaSet):
                yield from self._undersize(old, new)
            if isinstance(new, Job) and old is None:
                yield from self._untimely(new)
            if self.is_fair and isinstance(old, Pod):
                yield from self._unavailable(old, new)
            if isinstance(new, ResourceQuota) and isinstance(old, ResourceQuota):
                yield from _overdrawn(old, new)
        charged = {new.metadata.uid for _, new in changes if isinstance(new, ResourceQuota)}
        for old, new in changes:
            if old is None and isinstance(new, COUNTED):
                yield from self._beyond(new, charged)

    def _note(self, old: Object | None, new: Object | None) -> None:
        if isinstance(new, Deployment):
            self._note_size(new)
        if isinstance(new, Pod) and (owner := new.metadata.controller) is not None:
            meta = new.metadata
            if owner.kind == "StatefulSet":
                self.identities[meta.uid] = Identity(meta.namespace, meta.name)
        if isinstance(new, ResourceQuota):
            self._bound_since_s.setdefault(new.metadata.uid, self._now_s())
        if isinstance(old, Node) and new is None:
            name = old.metadata.name
            pods = self._kept.all(Pod)
            self.forced |= {one.metadata.uid for one in pods if one.spec.node_name == name}
        if isinstance(old, Pod) and new is None:
            nodes = {one.metadata.name for one in self._kept.all(Node)}
            if old.spec.node_name not in nodes:
                self.forced.add(old.metadata.uid)

    # Rollouts

    def _note_size(self, one: Deployment) -> None:
        replicas = one.spec.replicas
        sizes = self._sizes.setdefault(one.metadata.uid, deque())
        sizes.append((self._now_s(), replicas - _unavailable_of(one), replicas))
        limit_s = STALE_S_MAX_FAIR if self.is_fair else STALE_S_MAX
        while len(sizes) > 1 and sizes[1][0] < self._now_s() - limit_s:
            sizes.popleft()

    def _floor(self, uid: str) -> tuple[int, int]:
        """Return how many pods must be available, and how many were wanted, at the very least."""
        limit_s = STALE_S_MAX_FAIR if self.is_fair else STALE_S_MAX
        sizes = self._sizes[uid]
        while len(sizes) > 1 and sizes[1][0] < self._now_s() - limit_s:
            sizes.popleft()
        return min(least for _, least, _ in sizes), min(wanted for _, _, wanted in sizes)

    def _undersize(self, old: ReplicaSet, one: ReplicaSet) -> Iterator[str]:
        """Look whether a rollout makes the ReplicaSets of a Deployment too small.

        Where somebody deletes a set they are, until another one has grown: that is no rollout's.
        """
        owner, is_smaller = one.metadata.controller, one.spec.replicas < old.spec.replicas
        if owner is None or owner.uid not in self._sizes or not is_smaller:
            return
        mine = self._sets(owner.uid)
        wanted, least = sum(each.spec.replicas for each in mine), self._floor(owner.uid)[0]
        if wanted < least:
            yield f"the sets of {owner.name} want {wanted} pods, it must have {least} at least"

    def _unavailable(self, old: Pod, new: Object | None) -> Iterator[str]:
        """Look whether a pod that served went while it was needed."""
        if not _serves(old) or (isinstance(new, Pod) and _serves(new)):
            return
        deployment = self._deployment_of(old)
        if deployment is None:
            return
        uids = {each.metadata.uid for each in self._sets(deployment.metadata.uid)}
        served = [one for one in self._kept.all(Pod) if _serves(one) and _owner_uid(one) in uids]
        least, wanted = self._floor(deployment.metadata.uid)
        # A pod that moves goes when as many as wanted serve beside it.
        least = wanted if destination(old) else least
        if len(served) < least:
            name = deployment.metadata.name
            yield f"{old.ref} went: {name} has {len(served)} that serve, of {least} at least"

    def _sets(self, uid: str) -> list[ReplicaSet]:
        return [one for one in self._kept.all(ReplicaSet) if is_managed_by(one, uid)]

    def _deployment_of(self, pod: Pod) -> Deployment | None:
        owners = [one for one in self._kept.all(ReplicaSet) if one.metadata.uid == _owner_uid(pod)]
        above = {each.uid for one in owners if (each := one.metadata.controller) is not None}
        found = [one for one in self._kept.all(Deployment) if one.metadata.uid in above]
        return found[0] if found else None

    # CronJobs

    def _untimely(self, job: Job) -> Iterator[str]:
        """Look whether a CronJob makes a Job twice, too late, or beside one that forbids it."""
        at, owner, made = (
            scheduled_at(job),
            job.metadata.controller,
            job.metadata.creation_timestamp,
        )
        if at is None or owner is None or made is None:
            return
        times = self._times.setdefault(owner.uid, [])
        if times and at <= max(times):
            yield f"{job.ref} is for {at}, and there was one for {max(times)}"
        times.append(at)
        if made - at > timedelta(seconds=LATE_S_MAX):
            yield f"{job.ref} is for {at}, and made at {made}"
        for cron in self._kept.all(CronJob):
            if cron.metadata.uid != owner.uid or cron.spec.concurrency_policy != "Forbid":
                continue
            running = [
                one.metadata.name
                for one in self._kept.all(Job)
                if is_managed_by(one, owner.uid)
                and not is_over(one)
                and not one.metadata.is_deleted
            ]
            if len(running) > 1:
                yield f"{cron.ref} forbids what runs beside each other: {running}"

    # Quotas

    def _beyond(self, made: Object, charged: set[str]) -> Iterator[str]:
        """Look whether something was made that a quota has no room for, or is not charged for."""
        for quota in self._kept.all(ResourceQuota):
            meta = quota.metadata
            if meta.namespace != made.metadata.namespace:
                continue
            if meta.uid not in charged:
                if self._now_s() - self._bound_since_s[meta.uid] > UNKNOWN_S_MAX:
                    yield f"{made.ref} was made, and {quota.ref} is not charged"
                self._uncharged.add(meta.uid)
            if meta.uid in self._uncharged:
                continue
            found = self.really_used(quota)
            for name, hard in quota.spec.hard.items():
                if _uses(made, name) and found[name] > hard:
                    yield f"{made.ref} was made: {quota.ref} has {found[name]} {name} of {hard}"

    def really_used(self, quota: ResourceQuota) -> Amounts:
        """Return what is there of all that a quota counts."""
        namespace = quota.metadata.namespace
        there = (
            one
            for kind in COUNTED
            for one in self._kept.all(kind)
            if one.metadata.namespace == namespace
        )
        return used_of(quota, there)

    def leaks(self) -> Iterator[str]:
        """Yield the quotas whose count is not what is there; asked once the world is calm."""
        for quota in self._kept.all(ResourceQuota):
            used, there = dict(quota.status.used), dict(self.really_used(quota))
            if used != there and quota.metadata.uid not in self._uncharged:
                yield f"{quota.ref} counts {used}, there are {there}"

    def impostors(self, running: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield the names of StatefulSets' pods that two pods have at once.

        running: the uid of a pod and the node where it runs, for each.
        """
        seen: dict[Identity, tuple[str, str]] = {}
        for uid, node in running:
            identity = self.identities.get(uid)
            if identity is None or uid in self.forced:
                continue
            other = seen.setdefault(identity, (uid, node))
            if other[0] != uid:
                yield f"{identity.name} runs on {node} and, as another pod, on {other[1]}"


def is_movable(one: Object) -> bool:
    return one.metadata.annotations.get(ALLOWED) == "true"


def _unavailable_of(one: Deployment) -> int:
    """Return how many pods a rollout may take away."""
    bounds, replicas = one.spec.strategy.rolling_update, one.spec.replicas
    if one.spec.strategy.type != "RollingUpdate" or bounds is None:
        return replicas
    surge = share_of(bounds.max_surge, replicas, rounded_up=True)
    share = share_of(bounds.max_unavailable, replicas, rounded_up=False)
    return min(replicas, share if share or surge else 1)


def _overdrawn(old: ResourceQuota, new: ResourceQuota) -> Iterator[str]:
    """Look whether a charge goes beyond what a quota allows."""
    for name, hard in new.spec.hard.items():
        before, used = (one.status.used.get(name, NOTHING).milli for one in (old, new))
        # What was there before a quota, or before it was made smaller, is counted and stays.
        is_charge = old.status.hard == new.status.hard and used > before
        if is_charge and used > hard.milli:
            yield f"{new.ref} is charged {used / 1000:g} {name} of {hard}"


def _uses(one: Object, name: str) -> bool:
    plural, group = one.resource.plural, one.resource.group
    return name in (plural, f"count/{plural}.{group}" if group else f"count/{plural}")


def _owner_uid(pod: Pod) -> str:
    owner = pod.metadata.controller
    return owner.uid if owner is not None else ""


def _serves(pod: Pod) -> bool:
    return is_ready(pod) and not pod.metadata.is_deleted and not is_finished(pod)
