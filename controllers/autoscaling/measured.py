"""What autoscalers ask of the store, and what its answers say of each pod. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from cubernetes.api.condition import condition_of
from cubernetes.api.core.parts.resources import units
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.quantities import Quantity
from cubernetes.autoscaling.engine import PodSample
from cubernetes.reconcile.readings import KUBELETS_JOB, Table, Values

# What was used in so long a time, with a sample each second: a load is seen within two seconds, and
# a moment's is none. Where samples are lost, in the shortest time that has two of them.
WINDOW_S, WINDOW_S_MAX = 2, 30
WINDOWS_S = (WINDOW_S, 5, WINDOW_S_MAX)
FRESH_S, KEPT_S = 15.0, 0.9
LABELS = ("pod", "container")
# While a pod is so young, it counts only what it used since it was ready, as in Kubernetes.
INITIALIZATION_S = 300.0
FIRST_READINESS_S = 30.0
MILLI = 1000


def question_of(resource: str, namespace: str) -> Table:
    """Return the question for what each container of a namespace uses.

    It is one question for all autoscalers of a namespace, so that the store answers it once. Only
    what kubelets say counts: a pod that is scraped may name its own series like theirs.
    """
    by, where = ", ".join(LABELS), f'{{job="{KUBELETS_JOB}",namespace="{namespace}"}}'
    if resource == "cpu":
        used = f"container_cpu_usage_seconds_total{where}"
        rates = " or ".join(f"rate({used}[{window_s}s])" for window_s in WINDOWS_S)
        text = f"sum by ({by}) ({rates})"
    else:
        held = f"container_memory_working_set_bytes{where}[{WINDOW_S_MAX}s]"
        text = f"max by ({by}) (last_over_time({held}))"
    return Table(text, LABELS, FRESH_S, KEPT_S)


def pods_that_count(pods: Iterable[Pod]) -> list[Pod]:
    """Return those that neither end nor have ended."""
    return [pod for pod in pods if not pod.metadata.is_deleted and not is_finished(pod)]


def pod_samples(
    pods: Sequence[Pod], values: Values, resource: str, container: str = ""
) -> list[PodSample]:
    """Return what each pod uses, in milli-cores or bytes; of one container where one is named."""
    found = []
    for pod in pods:
        names = [container] if container else [one.name for one in pod.spec.containers]
        parts = [values.numbers.get((pod.metadata.name, name)) for name in names]
        used = _sum(resource, parts)
        is_ready = pod.status.phase != "Pending" and (
            used is None or resource != "cpu" or _tells_of_load(pod, values.at)
        )
        requested = _requested(pod, resource, names)
        found.append(PodSample(pod.metadata.name, used, requested, is_ready))
    return found


def amount_of(resource: str, number: float) -> Quantity:
    """Return milli-cores or bytes as they are written."""
    whole = round(number)
    if resource == "cpu" and whole % MILLI:
        return Quantity(f"{whole}m")
    return Quantity(str(whole // MILLI if resource == "cpu" else whole))


def _sum(resource: str, parts: Sequence[float | None]) -> float | None:
    told = [part for part in parts if part is not None]
    if len(told) < len(parts):
        return None
    return float(math.ceil(sum(told) * MILLI)) if resource == "cpu" else float(sum(told))


def _requested(pod: Pod, resource: str, names: Sequence[str]) -> float:
    """Return what the containers request together; 0 where one of them requests nothing."""
    amounts = [
        _amount(resource, {**one.resources.limits, **one.resources.requests})
        for one in pod.spec.containers
        if one.name in names
    ]
    return float(sum(amounts)) if amounts and all(amounts) else 0.0


def _amount(resource: str, wanted: Mapping[str, Quantity]) -> int:
    return units(resource, wanted[resource]) if resource in wanted else 0


def _tells_of_load(pod: Pod, sampled_at: datetime) -> bool:
    """Whether what a pod uses of the processor is its load, and not its beginning."""
    ready, started_at = condition_of(pod.status.conditions, "Ready"), pod.status.start_time
    if ready is None or started_at is None or ready.last_transition_time is None:
        return False
    since = ready.last_transition_time
    if sampled_at < started_at + timedelta(seconds=INITIALIZATION_S):
        return ready.status == "True" and sampled_at >= since + timedelta(seconds=WINDOW_S)
    # One that was ready once, and is no more, may be so for its load.
    was_ready = since > started_at + timedelta(seconds=FIRST_READINESS_S)
    return ready.status == "True" or was_ready
