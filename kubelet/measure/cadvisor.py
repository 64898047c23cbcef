"""What a snapshot says by cAdvisor's names, which dashboards of Kubernetes know. Pure."""

from collections.abc import Iterator, Sequence

from kubelet.measure.details import Details, Interface, Pressure
from kubelet.measure.exposition import NS_OF_S, Family, Row, text_of
from kubelet.measure.snapshot import Snapshot
from kubelet.measure.usage import Usage

# The name of each number of a group, what it counts in, and what it says.
GROUP_FAMILIES = (
    Family("container_cpu_usage_seconds_total", "counter", "Processor time that was spent."),
    Family("container_cpu_user_seconds_total", "counter", "Of that, in programs."),
    Family("container_cpu_system_seconds_total", "counter", "Of that, in the kernel."),
    Family("container_cpu_cfs_periods_total", "counter", "Periods in which its limit counted."),
    Family("container_cpu_cfs_throttled_periods_total", "counter", "Of these, held by its limit."),
    Family("container_cpu_cfs_throttled_seconds_total", "counter", "Time held by its limit."),
    Family("container_memory_usage_bytes", "gauge", "Memory with all caches."),
    Family("container_memory_working_set_bytes", "gauge", "Memory less inactive files."),
    Family("container_memory_rss", "gauge", "Anonymous memory."),
    Family("container_memory_cache", "gauge", "Pages of files."),
    Family("container_memory_swap", "gauge", "Memory that is swapped out."),
    Family("container_oom_events_total", "counter", "Processes ended for want of memory."),
    Family("container_processes", "gauge", "Processes and threads."),
    Family("container_fs_reads_bytes_total", "counter", "Bytes read of block devices."),
    Family("container_fs_writes_bytes_total", "counter", "Bytes written to block devices."),
    Family("container_fs_reads_total", "counter", "Reads of block devices."),
    Family("container_fs_writes_total", "counter", "Writes to block devices."),
)
STARTED = Family("container_start_time_seconds", "gauge", "When it started, since 1970.")
PRESSURE_FAMILIES = {
    ("cpu", "some"): Family(
        "container_pressure_cpu_waiting_seconds_total", "counter", "Some tasks waited for a cpu."
    ),
    ("cpu", "full"): Family(
        "container_pressure_cpu_stalled_seconds_total", "counter", "All tasks waited for a cpu."
    ),
    ("memory", "some"): Family(
        "container_pressure_memory_waiting_seconds_total", "counter", "Some waited for memory."
    ),
    ("memory", "full"): Family(
        "container_pressure_memory_stalled_seconds_total", "counter", "All waited for memory."
    ),
    ("io", "some"): Family(
        "container_pressure_io_waiting_seconds_total", "counter", "Some tasks waited for I/O."
    ),
    ("io", "full"): Family(
        "container_pressure_io_stalled_seconds_total", "counter", "All tasks waited for I/O."
    ),
}
NETWORK_FAMILIES = tuple(
    Family(f"container_network_{direction}_{what}_total", "counter", f"{direction}: {said}.")
    for direction in ("receive", "transmit")
    for what, said in (
        ("bytes", "bytes"),
        ("packets", "packets"),
        ("errors", "packets that were broken"),
        ("packets_dropped", "packets that were dropped"),
    )
)
FAMILIES = (*GROUP_FAMILIES, STARTED, *PRESSURE_FAMILIES.values(), *NETWORK_FAMILIES)


def cadvisor_text(moment: Snapshot) -> str:
    """Return the text that Prometheus reads; each sample is of the moment of the look."""
    return text_of(FAMILIES, _rows(moment), round(moment.at.timestamp() * 1000))


def _rows(moment: Snapshot) -> Iterator[Row]:
    yield from _group_rows(_labels(id="/"), moment.node)
    yield from _network_rows({"id": "/"}, moment.network)
    for pod in moment.pods:
        names = {"namespace": pod.namespace, "pod": pod.name}
        of_pod = {"id": f"/pod{pod.uid}", **names}
        yield from _group_rows(_labels(**of_pod), pod.usage)
        yield from _network_rows(of_pod, pod.network)
        for one in pod.containers:
            labels = _labels(
                container=one.name,
                id=f"/pod{pod.uid}/{one.id}",
                image=one.image,
                name=one.id,
                **names,
            )
            yield from _group_rows(labels, one.usage)
            if one.started_at is not None:
                yield Row(STARTED.name, labels, one.started_at.timestamp())


def _labels(**pairs: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _group_rows(labels: str, usage: Usage) -> Iterator[Row]:
    more = usage.details or Details()
    numbers = (
        (usage.cpu_ns, NS_OF_S),
        (more.user_ns, NS_OF_S),
        (more.system_ns, NS_OF_S),
        (more.period_count, 1),
        (more.throttled_count, 1),
        (usage.throttled_ns, NS_OF_S),
        (usage.memory_bytes, 1),
        (usage.working_set_bytes, 1),
        (more.rss_bytes, 1),
        (more.cache_bytes, 1),
        (more.swap_bytes, 1),
        (usage.oom_kill_count, 1),
        (usage.pid_count, 1),
        (more.read_bytes, 1),
        (more.written_bytes, 1),
        (more.read_count, 1),
        (more.write_count, 1),
    )
    for family, (number, unit) in zip(GROUP_FAMILIES, numbers, strict=True):
        if number is not None:
            yield Row(family.name, labels, number / unit)
    for key, family in PRESSURE_FAMILIES.items():
        pressure: Pressure | None = more.pressure.get(key)
        if pressure is not None:
            yield Row(family.name, labels, pressure.total_ns / NS_OF_S)


def _network_rows(of: dict[str, str], interfaces: Sequence[Interface]) -> Iterator[Row]:
    for one in interfaces:
        labels = _labels(interface=one.name, **of)
        for family, number in zip(NETWORK_FAMILIES, (*one.received, *one.sent), strict=True):
            yield Row(family.name, labels, number)
