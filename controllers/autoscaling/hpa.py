"""HorizontalPodAutoscaler: replicas follow what pods use, as Kubernetes documents it.

Its key is planned every few seconds, so that a decision follows new samples; on missing samples it
holds. What is remembered (proposals and changes, for the windows) is forgotten at the end of the
program: then the first round counts as if all before it had asked for what there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from controllers.autoscaling.measured import pods_that_count
from controllers.autoscaling.metrics import (
    Workload,
    name_of,
    proposal_for,
    question_for,
    rules_in,
)
from controllers.autoscaling.targets import (
    LOOK_S,
    SCALED,
    is_recent,
    names_it,
    resized,
    target_of,
)
from controllers.autoscaling.told import Outcome, Told, status_of
from cubernetes.api.autoscaling.history import Entry
from cubernetes.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.autoscaling.engine import History, bounded, decided
from cubernetes.autoscaling.policies import goal_of, policy_of
from cubernetes.autoscaling.record import is_news, numbers_of
from cubernetes.reconcile.plan import (
    Action,
    Keep,
    Record,
    RequeueAfter,
    UpdateStatus,
    View,
)
from cubernetes.reconcile.readings import Question


@dataclass(slots=True)
class HorizontalPodAutoscalers:
    """Plans by autoscaler."""

    histories: dict[Ref, History] = field(default_factory=dict)
    told_at: dict[Ref, datetime] = field(default_factory=dict)
    entries: dict[Ref, Entry] = field(default_factory=dict)

    name = "hpa"
    kinds: tuple[type[Object], ...] = (HorizontalPodAutoscaler, Pod, ConfigMap, *SCALED)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        """A workload concerns those that scale it; pods are looked at every few seconds anyway."""
        if isinstance(changed, HorizontalPodAutoscaler):
            return (changed.ref,)
        if isinstance(changed, Pod | ConfigMap):
            return ()
        others = view.list(HorizontalPodAutoscaler, changed.metadata.namespace)
        return [one.ref for one in others if names_it(one.spec.scale_target_ref, changed)]

    def asks(self, key: Ref, view: View) -> Sequence[Question]:
        found = view.get(HorizontalPodAutoscaler, key.name, key.namespace)
        if found is None:
            return []
        rules = rules_in(view)
        asked = (question_for(spec, key.namespace, rules) for spec in found.spec.metrics)
        return [one for one in asked if one is not None]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        found = view.get(HorizontalPodAutoscaler, key.name, key.namespace)
        if found is None or found.metadata.is_deleted:
            self.histories.pop(key, None)
            self.told_at.pop(key, None)
            self.entries.pop(key, None)
            return
        yield RequeueAfter(LOOK_S)
        told, target = Told(found), target_of(found.spec.scale_target_ref, key.namespace, view)
        if target is None:
            reference = found.spec.scale_target_ref
            told.cannot_get(f"{reference.kind} {reference.name} is not there or cannot be scaled")
        else:
            yield from self._scaled(key, found, target, view, now, told)
        yield from self._status(key, found, told, now)
        entry = told.entry(found.spec.min_replicas, found.spec.max_replicas, now)
        if is_news(self.entries.get(key), entry):
            self.entries[key] = entry
            yield Keep(tuple(numbers_of(key, entry)))

    def _scaled(
        self,
        key: Ref,
        found: HorizontalPodAutoscaler,
        target: Object,
        view: View,
        now: datetime,
        told: Told,
    ) -> Iterator[Action]:
        current = cast(Any, target).spec.replicas
        told.begin(current)
        wanted = self._wanted(key, found, target, view, now, told)
        if wanted is None or wanted == current:
            return
        told.rescaled(wanted, now)
        yield resized(target, wanted)
        message = f"New size: {wanted}; reason: {told.cause}"
        yield Record(found, "SuccessfulRescale", message)

    def _wanted(
        self,
        key: Ref,
        found: HorizontalPodAutoscaler,
        target: Object,
        view: View,
        now: datetime,
        told: Told,
    ) -> int | None:
        """Return how many replicas there should be; None: hold."""
        current, policy = cast(Any, target).spec.replicas, policy_of(found)
        if current == 0 and policy.minimum > 0:
            told.disabled()
            return None
        if current != bounded(policy, current):
            is_above = current > policy.maximum
            told.out_of_bounds(is_above=is_above)
            return bounded(policy, current)
        if rivals := _rivals(found, view):
            told.is_ambiguous(rivals)
            return None
        outcomes = _outcomes(found, target, view)
        best = told.measured(outcomes)
        if best is None:
            return None
        decision = decided(policy, current, best, self.histories.get(key, History()), now)
        self.histories[key] = decision.history
        told.decided(decision, best)
        return decision.replicas

    def _status(
        self, key: Ref, found: HorizontalPodAutoscaler, told: Told, now: datetime
    ) -> Iterator[Action]:
        status = status_of(found, told, now)
        old = found.status
        is_plain = replaced(status, current_metrics=()) == replaced(old, current_metrics=())
        is_known = bool(status.current_metrics) == bool(old.current_metrics)
        if status == old or (is_plain and is_recent(self.told_at.get(key), now) and is_known):
            return
        self.told_at[key] = now
        yield UpdateStatus(replaced(found, status=status))
        if told.failure and not told.was_failing:
            yield Record(found, told.failure[0], told.failure[1], "Warning")


def _outcomes(found: HorizontalPodAutoscaler, target: Object, view: View) -> list[Outcome]:
    scaled, namespace = cast(Any, target), target.metadata.namespace
    pods = pods_that_count(view.list(Pod, namespace, scaled.spec.selector.selector))
    workload, rules = Workload(namespace, scaled.spec.replicas, pods), rules_in(view)
    outcomes = []
    for spec in found.spec.metrics:
        source = spec.source
        if source is None:
            continue
        goal = goal_of(source.target, getattr(source, "name", ""), found)
        question = question_for(spec, namespace, rules)
        result, measured = proposal_for(spec, goal, workload, question, view)
        outcomes.append(Outcome(spec, result, name_of(spec), measured))
    return outcomes


def _rivals(found: HorizontalPodAutoscaler, view: View) -> list[str]:
    """Return the names of others that scale the same workload: of two, neither may."""
    reference = found.spec.scale_target_ref
    return [
        one.metadata.name
        for one in view.list(HorizontalPodAutoscaler, found.metadata.namespace)
        if one.metadata.name != found.metadata.name
        and (one.spec.scale_target_ref.kind, one.spec.scale_target_ref.name)
        == (reference.kind, reference.name)
    ]
