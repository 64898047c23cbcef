"""AutoScaler: pods between two bounds, by the engine of all autoscalers.

A bound is a band around its middle: within it nothing changes; outside, there are as many pods as
bring each of them to the middle. Between two changes minScaleInterval passes, by the time of the
last one in the status, so that a restart forgets nothing; a change at most doubles or halves.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from controllers.autoscaling.measured import pod_samples, pods_that_count, question_of
from controllers.autoscaling.targets import (
    LOOK_S,
    SCALED,
    is_recent,
    names_it,
    resized,
    target_of,
)
from cubernetes.api.apps.deployment import Deployment, DeploymentSpec
from cubernetes.api.autoscaling.history import Entry, Measured
from cubernetes.api.condition import Condition, Truth, with_condition
from cubernetes.api.core.pod import Pod
from cubernetes.api.cubernetes.autoscaler import (
    LABEL,
    ActualUtilization,
    AutoScaler,
    AutoScalerSpec,
    labels_of,
)
from cubernetes.api.meta import Object, ObjectMeta, Ref, replaced
from cubernetes.api.selectors import LabelSelector
from cubernetes.autoscaling.engine import (
    History,
    NoProposal,
    PodSample,
    Proposal,
    bounded,
    decided,
    proposed,
)
from cubernetes.autoscaling.policies import Band, bands_of, policy_of_bands
from cubernetes.autoscaling.record import is_news, numbers_of
from cubernetes.autoscaling.record import measured as measured_of
from cubernetes.reconcile.plan import (
    Action,
    Create,
    Keep,
    Record,
    RequeueAfter,
    Update,
    UpdateStatus,
    View,
)
from cubernetes.reconcile.readings import Absent, Table

CORE_MILLI = 1000.0


class BandDecision(NamedTuple):
    """What a round has found: how many are wanted (None: hold), and what is told of it.

    desired and running: how many pods there are to be, and how many run. held: why less than that
    is done.
    """

    wanted: int | None
    status: Truth
    reason: str
    message: str
    utilization: ActualUtilization
    desired: int = 0
    running: int = 0
    measured: tuple[Measured, ...] = ()
    held: str = ""


@dataclass(slots=True)
class AutoScalers:
    """Plans by autoscaler."""

    histories: dict[Ref, History] = field(default_factory=dict)
    told_at: dict[Ref, datetime] = field(default_factory=dict)
    entries: dict[Ref, Entry] = field(default_factory=dict)

    name = "autoscaler"
    kinds: tuple[type[Object], ...] = (AutoScaler, Pod, *SCALED)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:
        if isinstance(changed, AutoScaler):
            return (changed.ref,)
        if isinstance(changed, Pod):
            return ()
        namespace, owner = changed.metadata.namespace, changed.metadata.controller
        found = [
            one.ref
            for one in view.list(AutoScaler, namespace)
            if one.spec.target is not None and names_it(one.spec.target, changed)
        ]
        if owner is not None and owner.kind == AutoScaler.resource.kind:
            found.append(Ref(owner.kind, namespace, owner.name))
        return found

    def asks(self, key: Ref, view: View) -> Sequence[Table]:
        found = view.get(AutoScaler, key.name, key.namespace)
        if found is None:
            return []
        return [question_of(one.resource, key.namespace) for one in bands_of(found.spec)]

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        found = view.get(AutoScaler, key.name, key.namespace)
        if found is None or found.metadata.is_deleted:
            self.histories.pop(key, None)
            self.told_at.pop(key, None)
            self.entries.pop(key, None)
            return
        yield RequeueAfter(LOOK_S)
        target = _target(found, view)
        if target is None:
            if found.spec.template is not None:
                yield Create(deployment_of(found))
            result = _hold("NoTarget", "the workload is not there, or cannot be scaled")
            yield from self._told(key, found, result, now)
            return
        if (kept := _kept(found, target)) is not None:
            yield kept  # the next round scales what is there then
            return
        yield from self._scaled(key, found, target, view, now)

    def _scaled(
        self, key: Ref, found: AutoScaler, target: Object, view: View, now: datetime
    ) -> Iterator[Action]:
        workload = cast(Any, target)
        current = workload.spec.replicas
        pods = pods_that_count(view.list(Pod, key.namespace, workload.spec.selector.selector))
        result = self._decided(key, found, current, pods, view, now)
        wanted = current if result.wanted is None else result.wanted
        running = sum(pod.status.phase == "Running" for pod in pods)
        if wanted != current:
            yield resized(target, wanted)
            yield Record(found, "SuccessfulRescale", f"New size: {wanted}; {result.message}")
        scaled_at = now.replace(microsecond=0) if wanted != current else None
        whole = result._replace(desired=wanted, running=running)
        yield from self._told(key, found, whole, now, scaled_at)
        yield from self._kept(key, found, current, whole, now)

    def _kept(
        self, key: Ref, found: AutoScaler, current: int, result: BandDecision, now: datetime
    ) -> Iterator[Action]:
        bounds = found.spec.min_replicas, found.spec.max_replicas
        done = "Rescaled" if result.desired != current else "AsWanted"
        reason = (
            done if result.status == "True" and not result.held else result.held or result.reason
        )
        entry = Entry(
            at=now,
            replicas=current,
            wanted=result.desired,
            minimum=bounds[0],
            maximum=bounds[1],
            reason=reason,
            measured=result.measured,
        )
        if is_news(self.entries.get(key), entry):
            self.entries[key] = entry
            yield Keep(tuple(numbers_of(key, entry)))

    def _decided(
        self,
        key: Ref,
        found: AutoScaler,
        current: int,
        pods: Sequence[Pod],
        view: View,
        now: datetime,
    ) -> BandDecision:
        policy = policy_of_bands(found.spec)
        if current == 0:
            return _hold("ScalingDisabled", "the replica count of the target is zero")
        result = measured(found.spec, current, pods, view, key.namespace)
        if current != bounded(policy, current):
            return result._replace(wanted=bounded(policy, current), message="out of its bounds")
        last = found.status.last_scale_time
        interval = timedelta(seconds=found.spec.min_scale_interval)
        if result.wanted is None:
            return result
        history = self.histories.get(key, History())
        decision = decided(policy, current, result.wanted, history, now)
        if last is not None and last <= now < last + interval:
            # What is asked for is remembered; what is not done is no change.
            kept = replace(decision.history, changes=history.changes)
            self.histories[key] = kept
            held = "MinScaleInterval" if result.wanted != current else ""
            return result._replace(wanted=None, held=held)
        self.histories[key] = decision.history
        held = decision.steadied or decision.limited
        return result._replace(wanted=decision.replicas, held=held)

    def _told(
        self,
        key: Ref,
        found: AutoScaler,
        result: BandDecision,
        now: datetime,
        scaled_at: datetime | None = None,
    ) -> Iterator[Action]:
        old = found.status
        fact = Condition(
            type="ScalingActive",
            status=result.status,
            reason=result.reason,
            message=result.message,
        )
        status = replaced(
            old,
            observed_generation=found.metadata.generation,
            last_scale_time=scaled_at or old.last_scale_time,
            desired_replicas=result.desired,
            actual_replicas=result.running,
            actual_utilization=result.utilization,
            conditions=with_condition(old.conditions, fact, now),
        )
        plain = ActualUtilization()
        is_plain = replaced(status, actual_utilization=plain) == replaced(
            old, actual_utilization=plain
        )
        is_late = not is_recent(self.told_at.get(key), now)
        if status == old or (is_plain and not is_late and old.actual_utilization != plain):
            return
        self.told_at[key] = now
        yield UpdateStatus(replaced(found, status=status))


def measured(
    spec: AutoScalerSpec, current: int, pods: Sequence[Pod], view: View, namespace: str
) -> BandDecision:
    """Return the most that a band asks for; with one unknown, never fewer than there are."""
    asked: list[tuple[int, str]] = []
    unknown: list[str] = []
    utilization = ActualUtilization()
    kept: list[Measured] = []
    for band in bands_of(spec):
        values = view.table(question_of(band.resource, namespace))
        if isinstance(values, Absent):
            unknown.append(f"{band.resource}: {values.why}: {values.message}")
            kept.append(measured_of(band.resource, band.goal, (), NoProposal(values.message)))
            continue
        samples = [_of_a_core(one, band) for one in pod_samples(pods, values, band.resource)]
        result = proposed(current, samples, band.goal)
        kept.append(measured_of(band.resource, band.goal, samples, result))
        if isinstance(result, NoProposal):
            unknown.append(f"{band.resource}: {result.message}")
            continue
        asked.append((result.replicas, band.resource))
        utilization = _with(utilization, band, result)
    best, resource = max(asked, default=(0, ""))
    if not asked or (unknown and best < current):
        held = _hold("NoMetrics", "; ".join(unknown))
        return held._replace(utilization=utilization, measured=tuple(kept))
    where = "above" if best > current else "below" if best < current else "within"
    message = f"{resource} is {where} its bounds"
    found = BandDecision(best, "True", "ValidMetricFound", message, utilization)
    return found._replace(measured=tuple(kept))


def _of_a_core(one: PodSample, band: Band) -> PodSample:
    is_bare = band.goal.is_share and not one.requested
    return replace(one, requested=CORE_MILLI) if is_bare else one


def _with(told: ActualUtilization, band: Band, result: Proposal) -> ActualUtilization:
    if band.resource == "cpu":
        return replaced(told, cpu_percentage=result.share)
    return replaced(told, memory_bytes=round(result.average))


def _hold(reason: str, message: str) -> BandDecision:
    return BandDecision(None, "False", reason, message, ActualUtilization())


def _target(found: AutoScaler, view: View) -> Object | None:
    namespace = found.metadata.namespace
    if found.spec.target is not None:
        return target_of(found.spec.target, namespace, view)
    own = view.get(Deployment, found.metadata.name, namespace)
    owner = own.metadata.controller if own is not None else None
    return own if owner is not None and owner.uid == found.metadata.uid else None


def deployment_of(found: AutoScaler) -> Deployment:
    """Return the Deployment that is kept of an autoscaler's template, as it begins."""
    template = found.spec.template
    assert template is not None  # noqa: S101  it is asked for where there is one
    labels = {LABEL: found.metadata.name}
    of_pods = replaced(template.metadata, labels=labels_of(template, found.metadata.name))
    meta = ObjectMeta(
        name=found.metadata.name,
        namespace=found.metadata.namespace,
        labels=labels,
        owner_references=(found.owner_reference(),),
    )
    spec = DeploymentSpec(
        replicas=found.spec.min_replicas,
        selector=LabelSelector(match_labels=labels),
        template=replaced(template, metadata=of_pods),
    )
    return Deployment(metadata=meta, spec=spec).defaulted()


def _kept(found: AutoScaler, target: Object) -> Update | None:
    """Return what brings the Deployment's template to the autoscaler's, and so rolls the pods."""
    if found.spec.template is None or not isinstance(target, Deployment):
        return None
    template = deployment_of(found).spec.template
    if target.spec.template == template:
        return None
    return Update(replaced(target, spec=replaced(target.spec, template=template)))
