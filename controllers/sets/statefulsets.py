"""StatefulSets: a pod for each number, made, ended and exchanged in the order of the numbers.

**Identity.** The name of a pod is the set's and its number, so the API holds that there are never
two of one: a pod is made again when the object of the one before is gone, not earlier, whatever is
known of its node. A pod of that name that is somebody else's is waited for.

**Order.** With OrderedReady, a plan makes or ends one pod and stops at the first that is not
available: first the pods that are wanted, from the lowest number up; then those that are not, from
the highest down; then those of another revision, from the highest down. With Parallel the first
two do not wait; an exchange goes one by one, or as many at a time as `maxUnavailable` says.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from controllers.availability import is_active, is_led_past, unavailable_s
from controllers.owners import adopted_by, disowned, is_managed_by
from controllers.refusals import RefusalsTold
from controllers.sets import setclaims
from controllers.sets.revisions import History, adopted, cleaned, history_of, recorded, template_of
from cubernetes.api.apps.controllerrevision import REVISION_LABEL, ControllerRevision
from cubernetes.api.apps.statefulset import (
    POD_INDEX_LABEL,
    POD_NAME_LABEL,
    StatefulSet,
    StatefulSetStatus,
    claim_name,
    volumes_for,
)
from cubernetes.api.core.persistentvolumeclaim import PersistentVolumeClaim
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Delete,
    Patch,
    Record,
    RequeueAfter,
    UpdateStatus,
    View,
)

BURST = 500  # pods made or deleted in one plan; the next plan goes on
# A pod that ended by itself so soon after its creation is made again only then.
FAST_END_S = 10.0
NUMBER_CHARS_MAX = 10


class StatefulSets(RefusalsTold):
    """Plans by StatefulSet, and remembers nothing."""

    name = "statefulset"
    kinds: tuple[type[Object], ...] = (
        StatefulSet,
        Pod,
        ControllerRevision,
        PersistentVolumeClaim,
    )

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A pod concerns its controller, and the set that its name is of."""
        if isinstance(changed, StatefulSet):
            return (changed.ref,)
        if isinstance(changed, PersistentVolumeClaim):
            return _of_claim(changed, view)
        meta, kind = changed.metadata, StatefulSet.resource.kind
        owner = meta.controller
        concerned = {owner.name} if owner is not None and owner.kind == kind else set[str]()
        if isinstance(changed, Pod) and (parts := parts_of(meta.name)) is not None:
            concerned.add(parts.parent)
        if isinstance(changed, ControllerRevision) and owner is None:
            wanted = view.list(StatefulSet, meta.namespace)
            matching = [one for one in wanted if one.spec.selector.selector.matches(meta.labels)]
            concerned |= {one.metadata.name for one in matching}
        return [Ref(kind, meta.namespace, name) for name in sorted(concerned)]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        wanted = view.get(StatefulSet, key.name, key.namespace)
        # The pods of a set that goes are the garbage collector's.
        if wanted is None or wanted.metadata.is_deleted:
            return
        history = history_of(wanted, view)
        claims = [*adopted(wanted, view), *_claims(wanted, view)]
        # The next plan counts what is then its own, and of which revision it is.
        before: Sequence[Action] = claims or list(recorded(history, view))
        if before:
            yield from before
            return
        state = state_of(history, view, now)
        yield from _told(state)
        yield from steps(state, view)
        live = {state.current.metadata.name, state.update.metadata.name}
        yield from cleaned(history, live | {_revision_of(pod) for pod in state.pods.values()})


def _of_claim(claim: PersistentVolumeClaim, view: View) -> Iterator[Ref]:
    """Yield the sets whose pod waits for this claim to go, or lacks it."""
    name, namespace = claim.metadata.name, claim.metadata.namespace
    if view.get(PersistentVolumeClaim, name, namespace) is not None:
        return
    for one in view.list(StatefulSet, namespace):
        templates = one.spec.volume_claim_templates
        if any(name.startswith(claim_name(each, one.metadata.name)) for each in templates):
            yield one.ref


class Parts(NamedTuple):
    """The name of a pod as its set has made it."""

    parent: str
    number: int


class State(NamedTuple):
    """What a plan decides on: the pods by their numbers, and the two revisions.

    current: of this revision are pods below the partition. update: that of the present template.
    """

    wanted: StatefulSet
    pods: Mapping[int, Pod]
    current: ControllerRevision
    update: ControllerRevision
    now: datetime

    @property
    def is_ordered(self) -> bool:
        return self.wanted.spec.pod_management_policy == "OrderedReady"

    @property
    def numbers(self) -> range:
        start = self.wanted.start
        return range(start, start + self.wanted.spec.replicas)

    def is_available(self, pod: Pod) -> bool:
        return self.waits_s(pod) <= 0

    def waits_s(self, pod: Pod) -> float:
        """Return in how many seconds a pod that stays ready is available; inf if it is not."""
        if not is_active(pod) or not is_ready(pod) or is_led_past(pod):
            return float("inf")
        return unavailable_s(pod, self.wanted.spec.min_ready_seconds, self.now)


def state_of(history: History[StatefulSet], view: View, now: datetime) -> State:
    """Return the state of a set whose present template is recorded."""
    wanted, update = history.owner, history.new
    assert update is not None  # noqa: S101  the plan records it first
    pods = {number: pod for pod, number in _members(wanted, view)}
    current = history.named(wanted.status.current_revision) or update
    return State(wanted, pods, current, update, now)


def parts_of(name: str) -> Parts | None:
    """Return the set and the number that a pod's name tells; None for a name of another form."""
    parent, dash, digits = name.rpartition("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= NUMBER_CHARS_MAX
    if not parent or not dash or not is_number or str(int(digits)) != digits:
        return None
    return Parts(parent, int(digits))


def _members(wanted: StatefulSet, view: View) -> Iterator[tuple[Pod, int]]:
    """Yield the pods that are the set's own, with their numbers."""
    uid, selector = wanted.metadata.uid, wanted.spec.selector.selector
    for pod in view.owned(Pod, uid):
        parts = parts_of(pod.metadata.name)
        is_named = parts is not None and parts.parent == wanted.metadata.name
        if parts and is_named and is_managed_by(pod, uid) and selector.matches(pod.metadata.labels):
            yield pod, parts.number


def _claims(wanted: StatefulSet, view: View) -> Iterator[Patch]:
    """Yield what claims pods that fit and are nobody's, and lets go those that fit no more."""
    uid, namespace = wanted.metadata.uid, wanted.metadata.namespace
    selector = wanted.spec.selector.selector
    own = {pod.metadata.uid for pod, _ in _members(wanted, view)}
    for pod in view.owned(Pod, uid):
        if is_managed_by(pod, uid) and pod.metadata.uid not in own and is_active(pod):
            yield disowned(pod, uid)
    for pod in view.list(Pod, namespace, selector):
        parts = parts_of(pod.metadata.name)
        is_named = parts is not None and parts.parent == wanted.metadata.name
        if is_named and pod.metadata.controller is None and is_active(pod):
            yield adopted_by(pod, wanted)


def steps(state: State, view: View) -> Iterator[Action]:
    """Yield what brings the pods nearer to what is wanted."""
    actions, holds = _made(state, view)
    yield from actions[: 2 * BURST]
    if holds:
        return
    actions, holds = _ended(state, view)
    yield from actions[: 2 * BURST]
    if not holds and state.wanted.spec.update_strategy.type == "RollingUpdate":
        yield from _exchanged(state)


def _made(state: State, view: View) -> tuple[Sequence[Action], bool]:
    """Return what makes the pods that are wanted, and whether all else waits for them."""
    actions: list[Action] = []
    for number in state.numbers:
        pod = state.pods.get(number)
        if pod is None:
            actions += _created(state, number, view)
        elif is_finished(pod) and not pod.metadata.is_deleted:
            actions += _remade(state, pod)
        elif not pod.metadata.is_deleted:
            actions += _named(pod, number)
            actions += setclaims.missing(state.wanted, pod.metadata.name, view)
            actions += setclaims.owned_as_wanted(state.wanted, pod, view, is_surplus=False)
        if state.is_ordered and (pod is None or not state.is_available(pod)):
            return actions, True
    return actions, False


def _created(state: State, number: int, view: View) -> Iterator[Action]:
    wanted = state.wanted
    pod = pod_made(state, number)
    if view.get(Pod, pod.metadata.name, pod.metadata.namespace) is not None:
        told = (
            f"create Pod {pod.metadata.name} in StatefulSet {wanted.metadata.name} failed error: "
        )
        yield Record(wanted, "FailedCreate", told + "the name is another pod's", "Warning")
        return
    name = pod.metadata.name
    if claim := setclaims.leaving(wanted, name, view):
        told = f"create Pod {name} in StatefulSet {wanted.metadata.name} failed error: "
        yield Record(wanted, "FailedCreate", told + f"pvc {claim} is being deleted", "Warning")
        return
    yield from setclaims.missing(wanted, name, view)
    yield Create(pod)
    yield _record(wanted, "create", pod)


def pod_made(state: State, number: int) -> Pod:
    """Return the pod of a number; below the partition it is as it was before the rollout."""
    wanted = state.wanted
    is_rolling = wanted.spec.update_strategy.type == "RollingUpdate"
    is_kept = is_rolling and number < wanted.start + wanted.partition
    revision = state.current if is_kept else state.update
    template = template_of(revision) or wanted.spec.template
    name = f"{wanted.metadata.name}-{number}"
    labels = {**template.metadata.labels, REVISION_LABEL: revision.metadata.name}
    meta = ObjectMeta(
        name=name,
        namespace=wanted.metadata.namespace,
        labels={**labels, **_identity(name, number)},
        annotations=template.metadata.annotations,
        owner_references=(wanted.owner_reference(),),
    )
    spec = replaced(
        template.spec,
        hostname=name,
        subdomain=wanted.spec.service_name,
        volumes=volumes_for(wanted, template.spec, name),
    )
    return Pod(metadata=meta, spec=spec)


def _identity(name: str, number: int) -> dict[str, str]:
    return {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(number)}


def _named(pod: Pod, number: int) -> Iterator[Action]:
    """Yield the labels of a pod's place, where it was adopted without them."""
    labels = _identity(pod.metadata.name, number)
    if not labels.items() <= pod.metadata.labels.items():
        yield Patch(Pod, pod.ref, pod.metadata.uid, {"metadata": {"labels": labels}})


def _remade(state: State, pod: Pod) -> Iterator[Action]:
    """Yield the end of a finished pod; one that ended at once keeps its place for a while."""
    created = pod.metadata.creation_timestamp
    age_s = (state.now - created).total_seconds() if created is not None else FAST_END_S
    # An age below zero is a server whose clock is ahead: nothing to learn from it.
    if 0 <= age_s < FAST_END_S:
        yield RequeueAfter(FAST_END_S - age_s)
        return
    yield Delete(Pod, pod.ref, pod.metadata.uid)
    told = f"StatefulSet {state.wanted.metadata.name} is recreating failed Pod {pod.metadata.name}"
    yield Record(state.wanted, "RecreatingFailedPod", told, "Warning")


def _ended(state: State, view: View) -> tuple[Sequence[Action], bool]:
    """Return what ends the pods that are too many, and whether an exchange waits for that."""
    actions: list[Action] = []
    surplus = sorted((one for one in state.pods if one not in state.numbers), reverse=True)
    for number in surplus:
        pod = state.pods[number]
        actions += setclaims.owned_as_wanted(state.wanted, pod, view, is_surplus=True)
        if not pod.metadata.is_deleted:
            actions += _deleted(state, pod)
        if state.is_ordered:
            return actions, True
    return actions, False


def _exchanged(state: State) -> Iterator[Action]:
    """Yield the end of pods of another revision, from the highest down.

    Of those from there on no more are missing than may be: each that is not available counts.
    """
    lowest = state.wanted.start + state.wanted.partition
    spare_count = state.wanted.unavailable
    for number in reversed([one for one in state.numbers if one >= lowest]):
        pod = state.pods.get(number)
        if pod is not None and _revision_of(pod) != state.update.metadata.name and is_active(pod):
            yield from _deleted(state, pod)
        elif pod is not None and state.is_available(pod):
            continue
        spare_count -= 1
        if spare_count <= 0:
            return


def _deleted(state: State, pod: Pod) -> Iterator[Action]:
    yield Delete(Pod, pod.ref, pod.metadata.uid)
    yield _record(state.wanted, "delete", pod)


def _record(wanted: StatefulSet, verb: str, pod: Pod) -> Record:
    told = f"{verb} Pod {pod.metadata.name} in StatefulSet {wanted.metadata.name} successful"
    return Record(wanted, f"Successful{verb.capitalize()}", told)


def _told(state: State) -> Iterator[Action]:
    """Yield the status where it differs, and when to look again for pods to become available."""
    wanted = state.wanted
    status = status_of(state)
    if status != wanted.status:
        yield UpdateStatus(replaced(wanted, status=status))
    waits_s = [state.waits_s(pod) for pod in state.pods.values()]
    soonest_s = min((one for one in waits_s if 0 < one < float("inf")), default=0.0)
    if soonest_s > 0:
        yield RequeueAfter(soonest_s)


def status_of(state: State) -> StatefulSetStatus:
    wanted, pods = state.wanted, list(state.pods.values())
    current, update = state.current.metadata.name, state.update.metadata.name
    kept = [pod for pod in pods if not pod.metadata.is_deleted]
    updated = sum(_revision_of(pod) == update for pod in kept)
    ready = sum(is_ready(pod) for pod in pods if not is_finished(pod))
    is_rolling = wanted.spec.update_strategy.type == "RollingUpdate"
    if is_rolling and updated == ready == len(pods) == wanted.spec.replicas:
        current = update
    return StatefulSetStatus(
        observed_generation=wanted.metadata.generation,
        replicas=len(pods),
        ready_replicas=ready,
        current_replicas=sum(_revision_of(pod) == current for pod in kept),
        updated_replicas=updated,
        current_revision=current,
        update_revision=update,
        collision_count=wanted.status.collision_count,
        available_replicas=sum(state.is_available(pod) for pod in pods),
        conditions=wanted.status.conditions,
    )


def _revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")
