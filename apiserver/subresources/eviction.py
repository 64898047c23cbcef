"""Evictions: a pod is deleted only if its disruption budget allows it, in one transaction.

What a budget allows is taken from its status together with the deletion: two evictions at once
compare the same budget, and the second decides again on what the first left.
"""

from collections.abc import Sequence
from datetime import datetime

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.items import Item, Seen, encoded
from apiserver.state.keys import key_of
from apiserver.state.preconditions import check_all
from apiserver.state.statuses import absent, forbidden, success
from apiserver.state.transact import Decision
from apiserver.storage.store import Op, Put
from apiserver.strategies.metadata import to_the_second
from apiserver.strategies.registry import write_preconditions
from apiserver.strategies.strategy import Unread
from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs.delete import deletion_of
from apiserver.verbs.write import Answer, note_written
from apiserver.wire.bodies import model_in
from apiserver.wire.parameters import STRICT_WRITE
from cubernetes.api.bodies.envelopes import DeleteOptions, Eviction, Status
from cubernetes.api.condition import Condition, condition_of, with_condition
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.errors import (
    DISRUPTION_BUDGET,
    BadRequest,
    Conflict,
    InternalError,
    Problem,
    TooManyRequests,
)
from cubernetes.api.meta import replaced
from cubernetes.api.policy.poddisruptionbudget import (
    DISRUPTION_ALLOWED,
    INSUFFICIENT,
    SYNC_FAILED,
    PodDisruptionBudget,
)
from cubernetes.host.web.messages import Response

# How often others may change which budget a pod is under, while it is evicted.
ATTEMPTS_MAX = 16
# Evictions that the controller has not counted yet.
DISRUPTED_PODS_MAX = 2000
PENDING_RETRY_S = 10
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
TWO_BUDGETS = (
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
    "support."
)
# The condition of a pod that is evicted.
DISRUPTION_TARGET = Condition(
    type="DisruptionTarget",
    status="True",
    reason="EvictionByEvictionAPI",
    message="Eviction API: evicting",
)


async def evict(backend: Backend, call: Call) -> Response:
    """Delete a pod, and take the eviction from the budget that it is under."""
    eviction = model_in(call, Eviction)
    if eviction.metadata.name not in ("", call.name):
        raise BadRequest("name in URL does not match name in Eviction object")
    options = eviction.delete_options or DeleteOptions()
    await backend.caught_up()
    preconditions = write_preconditions(call.request)
    now = to_the_second(backend.env.clock.now())
    key = key_of(Pod, call.namespace, call.name)

    def decide(seen: Seen) -> Decision[tuple[Answer, bool]]:
        check_all(preconditions, seen)
        found = seen[key]
        if not isinstance(found, Item):
            raise absent(Pod.resource, call.name)
        pod = found.object
        assert isinstance(pod, Pod)  # noqa: S101  the route is of pods
        grants = () if is_unguarded(pod) else _granted(backend, pod, seen, now)
        marked = pod if pod.metadata.is_deleted else _marked(pod, now)
        deletion = deletion_of(call, options, found, marked, seen, now)
        return Decision((*deletion.ops, *grants), deletion.answer)

    keys = (key, *(one.key for one in preconditions), *call.strategy.keys_beside(call.name))
    is_dry = call.is_dry or bool(options.dry_run)
    claims: tuple[str, ...] = ()
    for _ in range(ATTEMPTS_MAX):
        try:
            # The budget's key comes first: there evictions take turns.
            done = await backend.transactions.run([*claims, *keys], decide, is_dry=is_dry)
        except Unread as unread:
            claims = unread.keys
        else:
            note_written(backend, call.identity, done.put_bytes)
            answer, _ = done.answer
            return success(Pod.resource, call.name, answer(done.revision).object.metadata.uid, 201)
    raise Conflict(f"the pod's budgets changed {ATTEMPTS_MAX} times; please try again")


def is_unguarded(pod: Pod) -> bool:
    """Whether no budget counts on a pod: it has not begun, has ended, or is terminating."""
    return pod.status.phase == "Pending" or is_finished(pod) or pod.metadata.is_deleted


def _granted(backend: Backend, pod: Pod, seen: Seen, now: datetime) -> Sequence[Op]:
    """Return what is written into the budget of a pod for its eviction.

    Raises: ApiError: the eviction is not allowed; Unread: the budgets are to be seen too.
    """
    meta = pod.metadata
    budgets = [
        one
        for one in backend.objects(PodDisruptionBudget)
        if isinstance(one, PodDisruptionBudget) and one.guards(meta.namespace, meta.labels)
    ]
    keys = tuple(key_of(PodDisruptionBudget, meta.namespace, one.metadata.name) for one in budgets)
    if len(keys) > 1:
        raise InternalError(TWO_BUDGETS)
    if not keys:
        return ()
    (key,) = keys
    if key not in seen:
        raise Unread(keys)
    found = seen[key]
    budget = found.object if isinstance(found, Item) else None
    # Memory may be older than the store: it has gone, or chooses others now.
    if not isinstance(budget, PodDisruptionBudget):
        return ()
    is_guarded = budget.guards(meta.namespace, meta.labels)
    if not is_guarded or (not is_ready(pod) and is_unhealthy_free(budget)):
        return ()
    return (Put(key, encoded(after_grant(budget, meta.name, now))),)


def is_unhealthy_free(budget: PodDisruptionBudget) -> bool:
    """Whether a pod that is not ready may go without a grant."""
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    status = budget.status
    return status.current_healthy >= status.desired_healthy > 0


def after_grant(budget: PodDisruptionBudget, pod: str, now: datetime) -> PodDisruptionBudget:
    """Return a budget from which one eviction is taken.

    Raises: TooManyRequests, Forbidden.
    """
    name, status = budget.metadata.name, budget.status
    if status.observed_generation < budget.metadata.generation:
        told = f"The disruption budget {name} is still being processed by the server."
        raise TooManyRequests(VIOLATED, problems=[_cause(told)], retry_after_s=PENDING_RETRY_S)
    if len(status.disrupted_pods) > DISRUPTED_PODS_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("poddisruptionbudgets", name, why)
    if status.disruptions_allowed < 1:
        raise TooManyRequests(VIOLATED, problems=[_cause(_why_none(budget))])
    left = status.disruptions_allowed - 1
    conditions = status.conditions
    if not left:
        spent = Condition(
            type=DISRUPTION_ALLOWED,
            status="False",
            reason=INSUFFICIENT,
            observed_generation=status.observed_generation,
        )
        conditions = with_condition(conditions, spent, now)
    after = replaced(
        status,
        disruptions_allowed=left,
        disrupted_pods={**status.disrupted_pods, pod: now},
        conditions=conditions,
    )
    return replaced(budget, status=after)


def _why_none(budget: PodDisruptionBudget) -> str:
    name, status = budget.metadata.name, budget.status
    told = condition_of(status.conditions, DISRUPTION_ALLOWED)
    if told is not None and told.reason == SYNC_FAILED:
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it "
            f"failed sync: {told.message}"
        )
    return (
        f"The disruption budget {name} needs {status.desired_healthy} healthy pods and has "
        f"{status.current_healthy} currently"
    )


def _cause(told: str) -> Problem:
    return Problem("", told, DISRUPTION_BUDGET)


def _marked(pod: Pod, now: datetime) -> Pod:
    conditions = with_condition(pod.status.conditions, DISRUPTION_TARGET, now)
    return replaced(pod, status=replaced(pod.status, conditions=conditions))


EVICTION = Subresource(
    "eviction",
    (
        Method(
            "POST",
            "create",
            evict,
            STRICT_WRITE,
            Status,
            # It is read strictly always: nothing less can be asked for.
            {"fieldValidation": "Strict"},
        ),
    ),
    model=Eviction,
)
