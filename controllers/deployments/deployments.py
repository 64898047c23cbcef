"""Deployments: a ReplicaSet for each template, scaled against each other step by step.

**Names.** The ReplicaSet of a template is named by the hash of the template and of
`status.collisionCount`, so that planning again asks for the same one. Where another object holds
the name, the count goes up. Which ReplicaSet has the present template is told by comparing
templates, never by the name: an earlier one is used again when its template returns.

**One step a plan.** A plan scales up, or down, or neither; the next plan counts what that led to.
Each scale carries the resourceVersion of the ReplicaSet as it was seen: a view that is behind ends
in a conflict.

**Going back** (`cubernetes.io/auto-rollback: "true"`). A ReplicaSet whose rollout came to its end
carries the mark `cubernetes.io/was-available`. A rollout that is past its progress deadline loses
the mark of its own ReplicaSet first, then the template goes back to the newest one that has it. So
each return takes a mark away, and returns end.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from controllers.deployments import progress, sizes
from controllers.deployments.rollout import (
    AUTO_ROLLBACK,
    Rollout,
    bare,
    is_name_taken,
    noted,
    revision_of,
    rollout_of,
    set_made,
)
from controllers.owners import adopted_by, disowned, is_managed_by
from controllers.refusals import RefusalsTold
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.apps.revisions import CHANGE_CAUSE, REVISION, WAS_AVAILABLE
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Delete,
    Patch,
    Record,
    RequeueAfter,
    Update,
    UpdateStatus,
    View,
)


class Deployments(RefusalsTold):
    """Plans by Deployment, and remembers nothing."""

    name = "deployment"
    kinds: tuple[type[Object], ...] = (Deployment, ReplicaSet, Pod)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A ReplicaSet concerns its controller, or every Deployment that could adopt it.

        A pod concerns the Deployment above it only while that waits for old pods to end.
        """
        if isinstance(changed, Deployment):
            return (changed.ref,)
        namespace = changed.metadata.namespace
        owner = changed.metadata.controller
        if isinstance(changed, Pod):
            above = view.get(ReplicaSet, owner.name, namespace) if owner is not None else None
            keys = _owning(above) if above is not None else ()
            found = (view.get(Deployment, key.name, key.namespace) for key in keys)
            return [one.ref for one in found if one and one.spec.strategy.type == "Recreate"]
        if owner is not None:
            return _owning(changed)
        labels = changed.metadata.labels
        wanted = view.list(Deployment, namespace)
        return [one.ref for one in wanted if one.spec.selector.selector.matches(labels)]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        wanted = view.get(Deployment, key.name, key.namespace)
        # What a Deployment that goes leaves behind is the garbage collector's.
        if wanted is None or wanted.metadata.is_deleted:
            return
        claim = claim_of(wanted, view)
        if claim.strangers:
            # The next plan counts what is then its own.
            yield from claim.strangers
            return
        rollout = rollout_of(wanted, claim.sets)
        if _is_going_back(rollout) and (target := _target(rollout)) is not None:
            yield from _gone_back(rollout, target)
            return
        yield from _step(rollout, view, now)


class Claim(NamedTuple):
    """The ReplicaSets of a Deployment, and what makes or ends the claim on others."""

    sets: Sequence[ReplicaSet]
    strangers: Sequence[Patch]


def claim_of(wanted: Deployment, view: View) -> Claim:
    uid, namespace = wanted.metadata.uid, wanted.metadata.namespace
    selector = wanted.spec.selector.selector
    owned = [one for one in view.owned(ReplicaSet, uid) if is_managed_by(one, uid)]
    adoptable = [
        one
        for one in view.list(ReplicaSet, namespace, selector)
        if one.metadata.controller is None and not one.metadata.is_deleted
    ]
    left = [
        one
        for one in owned
        if not one.metadata.is_deleted and not selector.matches(one.metadata.labels)
    ]
    adopted = [adopted_by(one, wanted) for one in adoptable]
    released = [disowned(one, uid) for one in left]
    mine = [one for one in owned if selector.matches(one.metadata.labels)]
    return Claim(mine, [*adopted, *released])


class Stage(NamedTuple):
    """At what a rollout is: what decides on its next step."""

    # Whether the size changed, which is followed before anything else.
    is_resized: bool
    # Whether no pod of an old template is left that could still run, where that is waited for.
    are_old_gone: bool
    # Whether the rollout is looked at: not while it is paused, or its size has just changed.
    is_judged: bool


def _stage(rollout: Rollout, view: View) -> Stage:
    is_paused = rollout.wanted.spec.paused
    is_resized = (is_paused or rollout.is_rolling) and sizes.is_resized(rollout)
    are_old_gone = rollout.is_rolling or not (
        sizes.active(rollout.old) or _are_old_running(rollout, view)
    )
    return Stage(is_resized, are_old_gone, is_judged=not is_paused and not is_resized)


def _step(rollout: Rollout, view: View, now: datetime) -> Iterator[Action]:
    """Yield the status, then one step towards the present template."""
    wanted, stage = rollout.wanted, _stage(rollout, view)
    made = _missing(rollout, stage)
    is_taken = made is not None and is_name_taken(made, view)
    name = made.metadata.name if made is not None and not is_taken else ""
    status = progress.status_of(rollout, now, made=name, is_judged=stage.is_judged)
    if is_taken:
        status = replaced(status, collision_count=status.collision_count + 1)
    if status != wanted.status:
        yield UpdateStatus(replaced(wanted, status=status))
    if made is not None and not is_taken:
        yield from _made(wanted, made)
    is_done = rollout.new is not None and progress.is_complete(wanted, status)
    yield from _scaled(rollout, _sizes(rollout, stage), is_proven=is_done and stage.is_judged)
    if rollout.new is not None:
        yield from _numbered(wanted, rollout.revision)
    if is_done or wanted.spec.paused:
        yield from _cleaned(rollout)
    left_s = progress.late_in_s(wanted, status.conditions, now)
    if left_s is not None and left_s > 0:
        yield RequeueAfter(left_s)


def _missing(rollout: Rollout, stage: Stage) -> ReplicaSet | None:
    """Return the ReplicaSet of the present template, where it is time to make it."""
    is_time = rollout.new is None and stage.is_judged and stage.are_old_gone
    return set_made(rollout, sizes.first_size(rollout)) if is_time else None


def _sizes(rollout: Rollout, stage: Stage) -> sizes.Sizes:
    if stage.is_resized:
        return sizes.resized(rollout)
    if not stage.is_judged:
        return {}
    if rollout.is_rolling:
        return sizes.rolled(rollout)
    return sizes.recreated(rollout, are_old_gone=stage.are_old_gone)


def _made(wanted: Deployment, made: ReplicaSet) -> Iterator[Action]:
    yield Create(made)
    if made.spec.replicas:
        yield _told(wanted, "up", made.metadata.name, 0, made.spec.replicas)
    yield from _numbered(wanted, revision_of(made))


def _scaled(rollout: Rollout, steps: sizes.Sizes, *, is_proven: bool) -> Iterator[Action]:
    """Yield the changes of ReplicaSets: their sizes, and what is noted on them."""
    for one in rollout.every:
        notes: dict[str, str] = {}
        if one is rollout.new:
            notes |= noted(rollout, one)
            notes |= {WAS_AVAILABLE: "true"} if is_proven else {}
        size = steps.get(one.metadata.uid, one.spec.replicas)
        if one.metadata.uid in steps:
            notes |= rollout.limits
        ready_s = rollout.wanted.spec.min_ready_seconds
        spec: dict[str, int] = {}
        if size != one.spec.replicas:
            spec["replicas"] = size
        if one is rollout.new and one.spec.min_ready_seconds != ready_s:
            spec["minReadySeconds"] = ready_s
        yield from _changed(one, spec, notes)
        if size != one.spec.replicas:
            way = "up" if size > one.spec.replicas else "down"
            yield _told(rollout.wanted, way, one.metadata.name, one.spec.replicas, size)


def _changed(
    one: ReplicaSet, spec: Mapping[str, int], notes: Mapping[str, str | None]
) -> Iterator[Patch]:
    """Yield the change of a ReplicaSet as it was seen; nothing where nothing changes."""
    found = one.metadata.annotations
    news = {key: value for key, value in notes.items() if found.get(key) != value}
    if not spec and not news:
        return
    metadata: dict[str, Any] = {"resourceVersion": one.metadata.resource_version}
    metadata |= {"annotations": news} if news else {}
    change: dict[str, Any] = {"metadata": metadata} | ({"spec": dict(spec)} if spec else {})
    yield Patch(ReplicaSet, one.ref, one.metadata.uid, change)


def _numbered(wanted: Deployment, revision: int) -> Iterator[Action]:
    """Yield the change that tells the revision of the present template on the Deployment."""
    if wanted.metadata.annotations.get(REVISION) != str(revision):
        change = {"metadata": {"annotations": {REVISION: str(revision)}}}
        yield Patch(Deployment, wanted.ref, wanted.metadata.uid, change)


def _cleaned(rollout: Rollout) -> Iterator[Action]:
    """Yield the deletion of old ReplicaSets without pods, the oldest revisions first."""
    idle = [
        one
        for one in rollout.old
        if one.spec.replicas == one.status.replicas == 0
        and one.metadata.generation <= one.status.observed_generation
        and not one.metadata.is_deleted
    ]
    kept = [one for one in rollout.old if not one.metadata.is_deleted]
    surplus_count = max(0, len(kept) - rollout.wanted.spec.revision_history_limit)
    for one in sorted(idle, key=revision_of)[:surplus_count]:
        meta = one.metadata
        yield Delete(ReplicaSet, one.ref, meta.uid, resource_version=meta.resource_version)


def _is_going_back(rollout: Rollout) -> bool:
    """Whether the rollout failed, and is asked to go back. A template that returned begins anew."""
    wanted = rollout.wanted
    is_asked = wanted.metadata.annotations.get(AUTO_ROLLBACK) == "true"
    is_tried = rollout.new is not None and not rollout.is_reused
    return (
        is_asked and is_tried and not wanted.spec.paused and progress.is_late(wanted.status)
    )  # fmt: skip


def _target(rollout: Rollout) -> ReplicaSet | None:
    """Return the newest old ReplicaSet whose rollout came to its end."""
    proven = [
        one
        for one in rollout.old
        if one.metadata.annotations.get(WAS_AVAILABLE) == "true" and not one.metadata.is_deleted
    ]
    return max(proven, key=revision_of, default=None)


def _gone_back(rollout: Rollout, target: ReplicaSet) -> Iterator[Action]:
    wanted, new = rollout.wanted, rollout.new
    if new is not None:
        yield from _changed(new, {}, {WAS_AVAILABLE: None})
    annotations = dict(wanted.metadata.annotations)
    annotations.pop(CHANGE_CAUSE, None)
    if cause := target.metadata.annotations.get(CHANGE_CAUSE):
        annotations[CHANGE_CAUSE] = cause
    metadata = replaced(wanted.metadata, annotations=annotations)
    spec = replaced(wanted.spec, template=bare(target.spec.template))
    yield Update(replaced(wanted, metadata=metadata, spec=spec))
    message = f'Rolled back deployment "{wanted.metadata.name}" to revision {revision_of(target)}'
    yield Record(wanted, "DeploymentRollback", message, "Warning")


def _are_old_running(rollout: Rollout, view: View) -> bool:
    """Whether pods of old templates have not ended: also those that are asked to go may serve."""
    pods = (pod for one in rollout.old for pod in view.owned(Pod, one.metadata.uid))
    return any(not is_finished(pod) for pod in pods)


def _told(wanted: Deployment, way: str, name: str, before: int, after: int) -> Record:
    message = f"Scaled {way} replica set {name} from {before} to {after}"
    return Record(wanted, "ScalingReplicaSet", message)


def _owning(one: Object) -> Sequence[Ref]:
    owner = one.metadata.controller
    is_ours = owner is not None and owner.kind == Deployment.resource.kind
    return (Ref(owner.kind, one.metadata.namespace, owner.name),) if owner and is_ours else ()
