"""How far a rollout is: the status of a Deployment, its conditions as in Kubernetes. Pure."""

from datetime import datetime, timedelta

from controllers.deployments.rollout import Rollout
from cubernetes.api.apps.deployment import (
    SECONDS_MAX,
    Deployment,
    DeploymentCondition,
    DeploymentStatus,
)
from cubernetes.api.condition import Truth, condition_of
from cubernetes.api.meta import replaced

PROGRESSING, AVAILABLE, FAILURE = "Progressing", "Available", "ReplicaFailure"
MADE, FOUND = "NewReplicaSetCreated", "FoundNewReplicaSet"
UPDATED, COMPLETE = "ReplicaSetUpdated", "NewReplicaSetAvailable"
LATE = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
ENOUGH, TOO_FEW = "MinimumReplicasAvailable", "MinimumReplicasUnavailable"

type Conditions = tuple[DeploymentCondition, ...]


def status_of(
    rollout: Rollout, now: datetime, *, made: str = "", is_judged: bool = True
) -> DeploymentStatus:
    """Return the status as of now.

    made: the name of the ReplicaSet of the present template that is about to be made.
    is_judged: whether progress counts: not while it is paused, or its size has just changed.
    """
    wanted, every = rollout.wanted, rollout.every
    available_count = sum(one.status.available_replicas for one in every)
    counts = DeploymentStatus(
        replicas=sum(one.status.replicas for one in every),
        updated_replicas=rollout.new.status.replicas if rollout.new is not None else 0,
        ready_replicas=sum(one.status.ready_replicas for one in every),
        available_replicas=available_count,
        unavailable_replicas=max(0, sum(one.spec.replicas for one in every) - available_count),
        observed_generation=wanted.metadata.generation,
        collision_count=wanted.status.collision_count,
        conditions=wanted.status.conditions,
    )
    is_enough = available_count >= wanted.spec.replicas - rollout.unavailable
    found = with_(counts.conditions, _available(now, is_enough=is_enough), now)
    found = _progressing(rollout, replaced(counts, conditions=found), made, now, is_judged)
    return replaced(counts, conditions=_failing(rollout, found, now))


def is_complete(wanted: Deployment, status: DeploymentStatus) -> bool:
    """Whether all pods are of the present template and available, and no other is left."""
    sizes = (status.updated_replicas, status.replicas, status.available_replicas)
    return sizes == (wanted.spec.replicas,) * 3


def is_late(status: DeploymentStatus) -> bool:
    found = progress_in(status.conditions)
    return found is not None and found.reason == LATE


def late_in_s(wanted: Deployment, conditions: Conditions, now: datetime) -> float | None:
    """Return in how many seconds the rollout counts as failed; None where it cannot any more."""
    found = progress_in(conditions)
    if found is None or not _has_deadline(wanted) or found.last_update_time is None:
        return None
    if found.reason in (COMPLETE, LATE, PAUSED):
        return None
    deadline = timedelta(seconds=wanted.spec.progress_deadline_seconds)
    return (found.last_update_time + deadline - now).total_seconds()


def progress_in(conditions: Conditions) -> DeploymentCondition | None:
    return next((one for one in conditions if one.type == PROGRESSING), None)


def with_(conditions: Conditions, new: DeploymentCondition, now: datetime) -> Conditions:
    """Return conditions with new in the place of its type; the same fact again changes nothing."""
    old = next((one for one in conditions if one.type == new.type), None)
    if old is None:
        return (*conditions, new)
    if (old.status, old.reason) == (new.status, new.reason):
        return conditions
    since = old.last_transition_time if old.status == new.status else _whole(now)
    dated = replaced(new, last_transition_time=since)
    return tuple(dated if one is old else one for one in conditions)


def _progressing(
    rollout: Rollout, counts: DeploymentStatus, made: str, now: datetime, is_judged: bool
) -> Conditions:
    """Return the conditions with what is to be said of the progress."""
    wanted, conditions = rollout.wanted, counts.conditions
    if not _has_deadline(wanted):
        return tuple(one for one in conditions if one.type != PROGRESSING)
    conditions = _paused(wanted, conditions, now)
    new = rollout.new
    if made:
        return with_(conditions, _fact("True", MADE, f'Created new replica set "{made}"', now), now)
    if new is None:
        return conditions
    name = new.metadata.name
    if rollout.is_reused and not wanted.spec.paused:
        return _again(conditions, _fact("True", FOUND, f'Found new replica set "{name}"', now), now)
    if progress_in(conditions) is None:
        conditions = with_(
            conditions, _fact("True", FOUND, f'Found new replica set "{name}"', now), now
        )
    if not is_judged:
        return conditions
    return _judged(rollout, replaced(counts, conditions=conditions), name, now)


def _judged(rollout: Rollout, counts: DeploymentStatus, name: str, now: datetime) -> Conditions:
    """Return the conditions after a look at what the rollout has achieved since the last look."""
    wanted, conditions = rollout.wanted, counts.conditions
    current = progress_in(conditions)
    is_settled = current is not None and current.reason == COMPLETE
    if is_settled and counts.replicas == counts.updated_replicas:
        return conditions
    if is_complete(wanted, counts):
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return with_(conditions, _fact("True", COMPLETE, message, now), now)
    if _has_progressed(wanted.status, counts):
        message = f'ReplicaSet "{name}" is progressing.'
        return _again(conditions, _fact("True", UPDATED, message, now), now)
    left_s = late_in_s(wanted, conditions, now)
    if left_s is not None and left_s <= 0:
        message = f'ReplicaSet "{name}" has timed out progressing.'
        return with_(conditions, _fact("False", LATE, message, now), now)
    return conditions


def _has_progressed(before: DeploymentStatus, counts: DeploymentStatus) -> bool:
    return (
        counts.updated_replicas > before.updated_replicas
        or counts.replicas - counts.updated_replicas < before.replicas - before.updated_replicas
        or counts.ready_replicas > before.ready_replicas
        or counts.available_replicas > before.available_replicas
    )


def _paused(wanted: Deployment, conditions: Conditions, now: datetime) -> Conditions:
    current = progress_in(conditions)
    reason = current.reason if current is not None else ""
    if wanted.spec.paused and reason not in (PAUSED, LATE):
        return with_(conditions, _fact("Unknown", PAUSED, "Deployment is paused", now), now)
    if not wanted.spec.paused and reason == PAUSED:
        return with_(conditions, _fact("Unknown", RESUMED, "Deployment is resumed", now), now)
    return conditions


def _again(conditions: Conditions, new: DeploymentCondition, now: datetime) -> Conditions:
    """Return conditions with new in its place, stated now also where it was so before."""
    old = next((one for one in conditions if one.type == new.type), None)
    if old is None or (old.status, old.reason) != (new.status, new.reason):
        return with_(conditions, new, now)
    dated = replaced(new, last_transition_time=old.last_transition_time)
    return tuple(dated if one is old else one for one in conditions)


def _failing(rollout: Rollout, conditions: Conditions, now: datetime) -> Conditions:
    """Return the conditions with why pods could not be made, as a ReplicaSet tells it."""
    # The newest first: why its pods could not be made is what counts.
    ordered = rollout.every[::-1]
    told = [condition_of(one.status.conditions, FAILURE) for one in ordered]
    found = next((one for one in told if one is not None), None)
    if found is None:
        return tuple(one for one in conditions if one.type != FAILURE)
    fact = _fact(found.status, found.reason, found.message, now)
    return with_(conditions, replaced(fact, type=FAILURE), now)


def _available(now: datetime, *, is_enough: bool) -> DeploymentCondition:
    status: Truth = "True" if is_enough else "False"
    has = "has" if is_enough else "does not have"
    message = f"Deployment {has} minimum availability."
    return replaced(
        _fact(status, ENOUGH if is_enough else TOO_FEW, message, now), type=AVAILABLE
    )  # fmt: skip


def _fact(status: Truth, reason: str, message: str, now: datetime) -> DeploymentCondition:
    at = _whole(now)
    return DeploymentCondition(
        type=PROGRESSING, status=status, reason=reason, message=message,
        last_update_time=at, last_transition_time=at,
    )  # fmt: skip


def _has_deadline(wanted: Deployment) -> bool:
    return wanted.spec.progress_deadline_seconds != SECONDS_MAX


def _whole(now: datetime) -> datetime:
    return now.replace(microsecond=0)
