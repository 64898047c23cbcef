"""What a snapshot says in the words of others: `/metrics/resource` and `/stats/summary`. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from kubelet.measure.details import Details, Interface
from kubelet.measure.snapshot import Rates, Snapshot
from kubelet.measure.usage import Usage

NS_OF_S = 10**9
# Over how long pressure is averaged, in Kubernetes' words as in the kernel's.
AVERAGES_S = (10, 60, 300)


class Family(NamedTuple):
    name: str
    type: str
    help: str


class Row(NamedTuple):
    """One sample: of what, in which labels, how much."""

    family: str
    labels: str
    value: float


# By the names that Kubernetes' kubelet and cAdvisor give them, in the order of the text.
FAMILIES = (
    Family("container_cpu_usage_seconds_total", "counter", "Processor time that was spent."),
    Family("container_memory_working_set_bytes", "gauge", "Memory less inactive files."),
    Family("container_start_time_seconds", "gauge", "When it started, since 1970."),
    Family("container_processes", "gauge", "Processes and threads."),
    Family("container_cpu_cfs_throttled_seconds_total", "counter", "Time held by its limit."),
    Family("container_oom_events_total", "counter", "Processes ended for want of memory."),
    Family("pod_cpu_usage_seconds_total", "counter", "Processor time that was spent."),
    Family("pod_memory_working_set_bytes", "gauge", "Memory less inactive files."),
    Family("node_cpu_usage_seconds_total", "counter", "Processor time that was spent."),
    Family("node_memory_working_set_bytes", "gauge", "Memory less inactive files."),
    Family("resource_scrape_error", "gauge", "1 where not all could be read."),
)


def resource_text(moment: Snapshot, *, is_whole: bool = True) -> str:
    """Return the text that Prometheus reads; each sample is of the moment of the look."""
    error = Row("resource_scrape_error", "", 0 if is_whole else 1)
    at_ms = round(moment.at.timestamp() * 1000)
    return text_of(FAMILIES, (*_rows(moment), error), at_ms)


def text_of(families: Sequence[Family], samples: Iterable[Row], at_ms: int) -> str:
    """Return samples as text, by their families in the order of these."""
    rows: dict[str, list[Row]] = {family.name: [] for family in families}
    for row in samples:
        rows[row.family].append(row)
    lines = []
    for name, kind, about in families:
        if rows[name]:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
        # The error is of the answer, and no sample of the past.
        stamp = "" if name == "resource_scrape_error" else f" {at_ms}"
        lines += [f"{name}{row.labels} {row.value:.12g}{stamp}" for row in rows[name]]
    return "\n".join(lines) + "\n"


def _rows(moment: Snapshot) -> Iterator[Row]:
    for pod in moment.pods:
        # Names of the API: there is nothing in them to escape.
        of_pod = f'namespace="{pod.namespace}",pod="{pod.name}"'
        yield from _usage_rows("pod", f"{{{of_pod}}}", pod.usage)
        for one in pod.containers:
            labels = f'{{container="{one.name}",{of_pod}}}'
            yield from _usage_rows("container", labels, one.usage)
            if one.started_at is not None:
                started_s = one.started_at.timestamp()
                yield Row("container_start_time_seconds", labels, started_s)
            more = (
                ("container_processes", one.usage.pid_count, 1),
                ("container_cpu_cfs_throttled_seconds_total", one.usage.throttled_ns, NS_OF_S),
                ("container_oom_events_total", one.usage.oom_kill_count, 1),
            )
            for name, number, unit in more:
                if number is not None:
                    yield Row(name, labels, number / unit)
    yield from _usage_rows("node", "", moment.node)


def _usage_rows(of: str, labels: str, usage: Usage) -> Iterator[Row]:
    if usage.cpu_ns is not None:
        yield Row(f"{of}_cpu_usage_seconds_total", labels, usage.cpu_ns / NS_OF_S)
    if usage.working_set_bytes is not None:
        yield Row(f"{of}_memory_working_set_bytes", labels, usage.working_set_bytes)


def summary_json(node_name: str, moment: Snapshot, rates: Rates) -> bytes:
    """Return Kubernetes' summary, with windowSeconds besides: what speeds are taken over."""
    pods = [
        {
            "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            **_started(pod.started_at),
            "containers": [
                {
                    "name": one.name,
                    **_started(one.started_at),
                    **_stats(one.usage, rates.cpu_ns.get(one.id), moment.at),
                }
                for one in pod.containers
            ],
            **_stats(pod.usage, rates.cpu_ns.get(pod.uid), moment.at),
            **_network(pod.network, moment.at),
            **_processes(pod.usage),
        }
        for pod in moment.pods
    ]
    node = {
        "nodeName": node_name,
        **_stats(moment.node, rates.cpu_ns.get(None), moment.at),
        **_network(moment.network, moment.at),
    }
    told = {"node": node, "pods": pods, "windowSeconds": round(rates.window_s, 3)}
    return json.dumps(told, separators=(",", ":")).encode()


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _started(at: datetime | None) -> Mapping[str, object]:
    return {} if at is None else {"startTime": _text(at)}


def _stats(usage: Usage, rate_ns: int | None, at: datetime) -> Mapping[str, object]:
    time = _text(at)
    cpu: dict[str, object] = {
        "time": time,
        "usageNanoCores": rate_ns,
        "usageCoreNanoSeconds": usage.cpu_ns,
    }
    memory: dict[str, object] = {
        "time": time,
        "usageBytes": usage.memory_bytes,
        "workingSetBytes": usage.working_set_bytes,
        "rssBytes": usage.details.rss_bytes if usage.details else None,
    }
    told: dict[str, dict[str, object]] = {"cpu": cpu, "memory": memory, "io": {"time": time}}
    parts = {
        name: {key: value for key, value in part.items() if value is not None}
        | _pressure(usage.details, name)
        for name, part in told.items()
    }
    return {name: part for name, part in parts.items() if name != "io" or len(part) > 1}


def _pressure(details: Details | None, resource: str) -> dict[str, object]:
    """Return what Kubernetes calls psi: how long some tasks, or all, have waited."""
    found = {
        kind: {"total": told.total_ns, **{f"avg{s}": getattr(told, f"avg{s}") for s in AVERAGES_S}}
        for (of, kind), told in (details.pressure if details else {}).items()
        if of == resource
    }
    return {"psi": found} if found else {}


def _network(interfaces: Sequence[Interface], at: datetime) -> Mapping[str, object]:
    """Return all interfaces, and the one that is named first as the default."""
    told = [
        {
            "name": one.name,
            "rxBytes": one.received.bytes,
            "rxErrors": one.received.errors,
            "txBytes": one.sent.bytes,
            "txErrors": one.sent.errors,
        }
        for one in interfaces
    ]
    if not told:
        return {}
    default = next((one for one in told if one["name"] == "eth0"), told[0])
    return {"network": {"time": _text(at), **default, "interfaces": told}}


def _processes(usage: Usage) -> Mapping[str, object]:
    count = usage.pid_count
    return {} if count is None else {"process_stats": {"process_count": count}}
