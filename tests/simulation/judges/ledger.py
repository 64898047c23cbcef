"""What was committed, revision by revision, and what may never be, at any revision."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from apiserver.state.items import stored
from apiserver.state.keys import collection_in, collection_of
from apiserver.storage.store import Op, Put
from cubernetes.api.apps.daemonset import DaemonSet
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.shares import share_of
from cubernetes.api.apps.statefulset import StatefulSet
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.job import COMPLETE, Job
from cubernetes.api.condition import is_true
from cubernetes.api.coordination.lease import Lease
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.node import Node
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.service import HEADLESS, Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.meta import Object
from cubernetes.api.policy.poddisruptionbudget import PodDisruptionBudget
from tests.simulation.judges.laws import STALE_S_MAX, Change, Laws, is_movable

LEASES = collection_of(Lease)
# What the status of a kind counts, and a slice lists.
COUNTED: dict[type[Object], tuple[type[Object], ...]] = {
    ReplicaSet: (Pod,),
    StatefulSet: (Pod,),
    DaemonSet: (Pod, Node),
    Deployment: (Pod, ReplicaSet),
    Job: (Pod,),
    PodDisruptionBudget: (Pod, ReplicaSet, Deployment, StatefulSet),
    CronJob: (Job,),
    ResourceQuota: (Pod, Service, ReplicaSet),
    EndpointSlice: (Pod, Node, Service),
}
COUNTING = {
    collection_of(kind): tuple(map(collection_of, counted)) for kind, counted in COUNTED.items()
}
WATCHED = (
    Namespace, Pod, Node, Service, ReplicaSet, Deployment, EndpointSlice, Lease,
    PodDisruptionBudget, StatefulSet, DaemonSet, Job, CronJob, ResourceQuota,
)  # fmt: skip
# More writes of one object in so many seconds are two programs that undo each other's work.
# What counts others is written for each pod that is made, ready or gone while workloads roll:
# there such writes are those beyond the writes of what it counts.
FIGHT_S = 5.0
FIGHT_WRITES_MAX = 30
# It also tells a fight that it becomes again what it was, and nothing that it counts has changed.
FIGHT_RETURNS_MAX = 8


class Ledger:
    """Fed by every commit. `broken` is what was violated, in order; it should stay empty."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.laws = Laws(self, now_s)
        self._kinds = {collection_of(kind): kind for kind in WATCHED}
        self._objects: dict[type[Object], dict[str, Object]] = {kind: {} for kind in WATCHED}
        self._node_of: dict[str, str] = {}
        # (time, replicas) of each set, as far as somebody may still act upon it.
        self._sizes: dict[str, deque[tuple[float, int]]] = {}
        # (time, how many writes there were of what it counts) of each write.
        self._writes: dict[str, deque[tuple[float, int]]] = {}
        # (time, content, whether it was so before without a cause) of each write.
        self._contents: dict[str, deque[tuple[float, bytes, bool]]] = {}
        # How many writes each collection has seen, and of what an object counts at its last write.
        self._written: Counter[str] = Counter()
        self._counted: dict[str, int] = {}
        self.broken: list[str] = []
        # The pods that succeeded, by the uid of their owner.
        self.succeeded: dict[str, set[str]] = {}
        # Of every pod that was ever ready.
        self.ready_addresses: set[str] = set()
        # The last write that changed where a service leads.
        self.endpoints_revision = 0
        self.revision = 0
        # Keys that were written, but for signs of life, in order: peace has none.
        self.deeds: list[str] = []

    def all[O: Object](self, kind: type[O]) -> list[O]:
        """Return the objects of a kind as they stand, in the order of their keys."""
        return [one for _, one in sorted(self._objects[kind].items()) if isinstance(one, kind)]

    def committed(self, ops: Sequence[Op], revision: int) -> None:
        """Take note of a commit, and of what it breaks."""
        self.revision = revision
        changes = [change for op in ops if (change := self._noted(op)) is not None]
        for sentence in self.laws.broken_by(changes):
            self._breaks(sentence)

    def _noted(self, op: Op) -> Change | None:
        """Take note of one write; return what it changed, if that is looked at."""
        if collection_in(op.key) != LEASES:
            self.deeds.append(op.key)
        if why := self._fight_over(op):
            self._breaks(f"{op.key} {why} times in {FIGHT_S} s")
        self._written[collection_in(op.key)] += 1
        kind = self._kinds.get(collection_in(op.key))
        if kind is None:
            return None
        new = None
        if isinstance(op, Put):
            new = stored(kind, op.key, op.value, self.revision).object
        old = self._objects[kind].pop(op.key, None)
        if kind in (Service, EndpointSlice):
            self.endpoints_revision = self.revision
        if new is not None:
            self._objects[kind][op.key] = new
        for sentence in self._violations(old, new):
            self._breaks(sentence)
        return Change(old, new)

    def _breaks(self, sentence: str) -> None:
        self.broken.append(f"at {self._now_s():.2f} s, revision {self.revision}: {sentence}")

    def _fight_over(self, op: Op) -> str:
        """Note a write; return what there was too much of, empty where there was not."""
        counted = COUNTING.get(collection_in(op.key))
        written = sum(self._written[each] for each in counted or ())
        if self._surplus(op.key, written) >= FIGHT_WRITES_MAX:
            beyond = " beyond what it counts" if counted else ""
            return f"is written{beyond} {FIGHT_WRITES_MAX}"
        if counted is None or self._returns(op, written) < FIGHT_RETURNS_MAX:
            return ""
        return f"becomes what it was {FIGHT_RETURNS_MAX}"

    def _surplus(self, key: str, written: int) -> int:
        """Note a write; return how many there were beyond those of what the object counts."""
        times = self._writes.setdefault(key, deque())
        times.append((self._now_s(), written))
        while self._now_s() - times[0][0] >= FIGHT_S:
            times.popleft()
        return len(times) - (written - times[0][1])

    def _returns(self, op: Op, written: int) -> int:
        """Note a write; return how often the object became what it was, without a cause."""
        is_caused = self._counted.get(op.key) != written
        self._counted[op.key] = written
        content = _meant(op.value) if isinstance(op, Put) else b""
        seen = self._contents.setdefault(op.key, deque(maxlen=FIGHT_WRITES_MAX))
        while seen and self._now_s() - seen[0][0] > FIGHT_S:
            seen.popleft()
        is_same = bool(seen) and seen[-1][1] == content
        is_return = not is_same and any(content == each for _, each, _ in seen)
        seen.append((self._now_s(), content, is_return and not is_caused))
        return sum(one for _, _, one in seen)

    def _violations(self, old: Object | None, new: Object | None) -> Iterator[str]:
        self._note_size(new)
        match new:
            case Pod():
                yield from self._of_pod(new, is_new=old is None)
            case ReplicaSet():
                yield from self._oversize(old, new)
            case Job():
                yield from self._miscounted(new)
            case PodDisruptionBudget() if isinstance(old, PodDisruptionBudget):
                yield from _overspent(old, new)
            case Node() if new.spec.pod_cidr:
                yield from self._twins(new, "pod range", new.spec.pod_cidr)
            case Service() if new.spec.cluster_ip not in ("", HEADLESS):
                yield from self._twins(new, "cluster IP", new.spec.cluster_ip)
            case _:
                pass

    def _of_pod(self, pod: Pod, *, is_new: bool) -> Iterator[str]:
        # Also one that was asked to go first: it serves while no other does.
        if is_true(pod.status.conditions, "Ready"):
            self.ready_addresses.add(pod.status.pod_ip)
        if pod.status.phase == "Succeeded" and pod.metadata.controller is not None:
            self.succeeded.setdefault(pod.metadata.controller.uid, set()).add(pod.metadata.uid)
        yield from self._binding(pod)
        yield from self._addresses(pod)
        if is_new:
            yield from self._overshoot(pod)

    def _binding(self, pod: Pod) -> Iterator[str]:
        uid, node = pod.metadata.uid, pod.spec.node_name
        before = self._node_of.get(uid, "")
        if before and node != before:
            yield f"{pod.ref} was bound to {before} and is now on {node or 'none'}"
        if node:
            self._node_of[uid] = node

    def _addresses(self, pod: Pod) -> Iterator[str]:
        address = pod.status.pod_ip
        if not address or not _holds_address(pod):
            return
        for other in self.all(Pod):
            is_other = other.metadata.uid != pod.metadata.uid
            if is_other and _holds_address(other) and other.status.pod_ip == address:
                yield f"{pod.ref} and {other.ref} have the address {address}"

    def _twins(self, new: Node | Service, what: str, value: str) -> Iterator[str]:
        for other in self.all(type(new)):
            theirs = other.spec.pod_cidr if isinstance(other, Node) else other.spec.cluster_ip
            if other.ref != new.ref and theirs == value:
                yield f"{new.ref} and {other.ref} have the {what} {value}"

    def _oversize(self, old: Object | None, one: ReplicaSet) -> Iterator[str]:
        """Look whether a rollout makes the ReplicaSets of a Deployment too large.

        Where a size was asked for while no controller was there, they are until one has come.
        """
        owner = one.metadata.controller
        before = old.spec.replicas if isinstance(old, ReplicaSet) else 0
        if owner is None or owner.uid not in self._sizes or one.spec.replicas <= before:
            return
        mine = [
            each
            for each in self.all(ReplicaSet)
            if each.metadata.controller is not None and each.metadata.controller.uid == owner.uid
        ]
        wanted, most = (
            sum(each.spec.replicas for each in mine),
            max(size for _, size in self._sizes[owner.uid]),
        )
        if wanted > most:
            yield f"the sets of {owner.name} want {wanted} pods, it may have {most} at most"

    def _miscounted(self, job: Job) -> Iterator[str]:
        """Look whether a Job counts a success that there was not, or ends with fewer or more."""
        status, wanted = job.status, job.spec.completions
        noted = status.uncounted_terminated_pods
        counted = status.succeeded + (len(noted.succeeded) if noted is not None else 0)
        found = len(self.succeeded.get(job.metadata.uid, ()))
        if counted > found:
            yield f"{job.ref} counts {counted} successes, there were {found}"
        if is_true(status.conditions, COMPLETE) and status.succeeded != wanted:
            yield f"{job.ref} is complete with {status.succeeded} of {wanted}"

    def _note_size(self, one: Object | None) -> None:
        size = _most(one)
        if one is None or size is None:
            return
        sizes = self._sizes.setdefault(one.metadata.uid, deque())
        sizes.append((self._now_s(), size))
        # The last size before the window still counted when the window began.
        while len(sizes) > 1 and sizes[1][0] < self._now_s() - STALE_S_MAX:
            sizes.popleft()

    def _overshoot(self, pod: Pod) -> Iterator[str]:
        """Look whether a pod is one too many.

        A StatefulSet's is so by its place: one that was made smaller and lost a pod meanwhile
        makes the lost place anew while those above are still to end.
        """
        owner = pod.metadata.controller
        if owner is None or owner.uid not in self._sizes:
            return
        alive = [one for one in self.all(Pod) if is_alive(one, owner.uid)]
        most = max(size for _, size in self._sizes[owner.uid])
        if owner.kind == "StatefulSet":
            place = int(pod.metadata.name.rpartition("-")[2])
            if place >= most:
                yield f"{pod.ref} has place {place}, wanted were {most} at most"
        elif len(alive) > most:
            names = ", ".join(one.metadata.name for one in alive)
            yield f"{owner.name} has {len(alive)} live pods, wanted were {most} at most: {names}"


def is_alive(pod: Pod, owner_uid: str) -> bool:
    """Whether it counts for its owner: not going, not finished."""
    owner = pod.metadata.controller
    is_owned = owner is not None and owner.uid == owner_uid
    return is_owned and not pod.metadata.is_deleted and not is_finished(pod)


def _most(one: Object | None) -> int | None:
    """Return how many live pods a workload may have: with its surge, where it has one."""
    if isinstance(one, ReplicaSet):
        # One that moves stays until its successor serves.
        return one.spec.replicas + is_movable(one)
    if isinstance(one, StatefulSet):
        return one.spec.replicas
    if isinstance(one, Job):
        return one.spec.parallelism
    if not isinstance(one, Deployment):
        return None
    bounds, replicas = one.spec.strategy.rolling_update, one.spec.replicas
    surge = bounds.max_surge if bounds is not None else 0
    return replicas + share_of(surge, replicas, rounded_up=True)


def _overspent(old: PodDisruptionBudget, new: PodDisruptionBudget) -> Iterator[str]:
    """Look whether evictions took more from a budget than it allowed."""
    granted = new.status.disrupted_pods.keys() - old.status.disrupted_pods.keys()
    before, left = old.status.disruptions_allowed, new.status.disruptions_allowed
    if granted and len(granted) > before - left:
        yield f"{new.ref} allowed {before}, was taken for {sorted(granted)}, and allows {left}"


def _holds_address(pod: Pod) -> bool:
    return not is_finished(pod) and not pod.metadata.is_deleted and not pod.spec.host_network


def _meant(content: bytes) -> bytes:
    """Return an object without what counts its changes."""
    tree = json.loads(content)
    tree["metadata"].pop("generation", None)
    tree.get("status", {}).pop("observedGeneration", None)
    return json.dumps(tree, sort_keys=True).encode()
