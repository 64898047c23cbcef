"""What each type of metric asks of the store, and how many replicas its answer asks for. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from controllers.autoscaling.measured import FRESH_S, KEPT_S, MILLI, pod_samples, question_of
from cubernetes.api.autoscaling.history import Measured
from cubernetes.api.autoscaling.metrictypes import (
    ContainerResourceMetricSource,
    CrossVersionObjectReference,
    ExternalMetricSource,
    MetricIdentifier,
    MetricSpec,
    ObjectMetricSource,
    PodsMetricSource,
    ResourceMetricSource,
)
from cubernetes.api.condition import is_true
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.metrics import rules as metricrules
from cubernetes.api.metrics.rules import POD_LABEL, Rules, equals, matchers_of
from cubernetes.autoscaling.engine import (
    Goal,
    NoProposal,
    PodSample,
    Proposal,
    proposed,
    proposed_of_all,
    proposed_of_each,
)
from cubernetes.autoscaling.policies import metric_called
from cubernetes.autoscaling.record import measured
from cubernetes.reconcile.plan import View
from cubernetes.reconcile.readings import Absent, Metric, Question, Table, Values

NO_RULE = "no rule of kube-system/metric-rules names it"


class Workload(NamedTuple):
    """What is scaled, as far as metrics count by it."""

    namespace: str
    replicas: int
    pods: Sequence[Pod]


class Finding(NamedTuple):
    """How many replicas a metric asks for, and what is kept of it."""

    result: Proposal | NoProposal
    measured: Measured


def rules_in(view: View) -> Rules:
    found = view.get(ConfigMap, metricrules.NAME, metricrules.NAMESPACE)
    return found.data if found is not None else {}


def question_for(spec: MetricSpec, namespace: str, rules: Rules) -> Question | None:
    """Return what is asked of the store; None where no rule says how."""
    match spec.source:
        case ResourceMetricSource(name=name) | ContainerResourceMetricSource(name=name):
            return question_of(name, namespace)
        case PodsMetricSource(metric=metric):
            conditions = [equals("namespace", namespace), *_conditions(metric)]
            text = metricrules.custom_query(rules, metric.name, POD_LABEL, conditions)
            return Table(text, (POD_LABEL,), FRESH_S, KEPT_S) if text else None
        case ObjectMetricSource(metric=metric, described_object=one):
            text = metricrules.custom_query(
                rules, metric.name, one.kind.lower(), _of_object(one, namespace, metric)
            )
        case ExternalMetricSource(metric=metric):
            text = metricrules.external_query(rules, metric.name, _conditions(metric))
        case _:
            return None
    # An object's series, and those of something external, are one number together.
    return Metric(f"sum({text})", FRESH_S, KEPT_S) if text else None


def proposal_for(
    spec: MetricSpec, goal: Goal, workload: Workload, question: Question | None, view: View
) -> Finding:
    """Return how many replicas a metric asks for, by what was read for its question."""
    name = metric_called(spec)
    if isinstance(question, Metric):
        return _of_one_number(spec, goal, workload, question, view)
    samples: list[PodSample] = []
    result: Proposal | NoProposal = NoProposal(NO_RULE)
    if question is not None:
        values = view.table(question)
        if isinstance(values, Absent):
            why = f"unable to get metrics{_of(spec)}: {values.why}: {values.message}"
            result = NoProposal(why)
        else:
            samples = _samples(spec, workload, values)
            result = proposed(workload.replicas, samples, goal)
    return Finding(result, measured(name, goal, samples, result))


def _of_one_number(
    spec: MetricSpec, goal: Goal, workload: Workload, question: Metric, view: View
) -> Finding:
    found = view.reading(question)
    if isinstance(found, Absent):
        result = NoProposal(f"unable to get metrics: {found.why}: {found.message}")
        return Finding(result, measured(metric_called(spec), goal, (), result))
    value = max(0.0, found.number) * MILLI
    if spec.source is not None and spec.source.target.type == "Value":
        ready = sum(
            pod.status.phase == "Running" and is_true(pod.status.conditions, "Ready")
            for pod in workload.pods
        )
        answer = proposed_of_all(workload.replicas, ready, value, goal)
    else:
        ready = workload.replicas
        answer = proposed_of_each(workload.replicas, value, goal)
    told = Measured(
        metric=metric_called(spec),
        target=goal.target,
        used=value,
        ready=ready,
        proposed=answer.replicas,
    )
    return Finding(answer, told)


def name_of(spec: MetricSpec) -> str:
    """Return what conditions and events call a metric."""
    match spec.source:
        case ContainerResourceMetricSource(name=name, target=target):
            return f"{name} container resource{_share(target.type)}"
        case ResourceMetricSource(name=name, target=target):
            return f"{name} resource{_share(target.type)}"
        case PodsMetricSource(metric=metric):
            return f"pods metric {metric.name}"
        case ObjectMetricSource(metric=metric, described_object=one):
            return f"{one.kind} metric {metric.name}"
        case ExternalMetricSource(metric=metric):
            return f"external metric {metric.name}"
        case _:
            return spec.type


def _share(target: str) -> str:
    return " utilization (percentage of request)" if target == "Utilization" else ""


def _of(spec: MetricSpec) -> str:
    match spec.source:
        case ResourceMetricSource(name=name) | ContainerResourceMetricSource(name=name):
            return f" for resource {name}"
        case _:
            return ""


def _samples(spec: MetricSpec, workload: Workload, values: Values) -> list[PodSample]:
    match spec.source:
        case ResourceMetricSource(name=name) | ContainerResourceMetricSource(name=name):
            return pod_samples(workload.pods, values, name, spec.container)
        case _:
            told = ((pod, values.numbers.get((pod.metadata.name,))) for pod in workload.pods)
            return [
                PodSample(
                    pod.metadata.name,
                    None if number is None else max(0.0, number) * MILLI,
                    is_ready=pod.status.phase != "Pending",
                )
                for pod, number in told
            ]


def _conditions(metric: MetricIdentifier) -> list[str]:
    return matchers_of(metric.selector.selector) if metric.selector is not None else []


def _of_object(
    one: CrossVersionObjectReference, namespace: str, metric: MetricIdentifier
) -> list[str]:
    """Return the conditions by which an object's series are found, in its namespace alone."""
    own = [equals("namespace", namespace)]
    if one.kind != "Namespace":
        own.append(equals(one.kind.lower(), one.name))
    return [*own, *_conditions(metric)]
