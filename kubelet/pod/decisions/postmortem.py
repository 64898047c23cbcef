"""What is known of a container that ended otherwise than well, as one sentence. Pure.

Facts alone: its exit code and signal, whose limit the kernel kept, what it used of memory in its
last minute as it was measured, and which of the node's conditions said that it was short of
something. What was not measured is not told.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cubernetes.api.core.podspec.container import Container as Wanted
from kubelet.runtime.driver import SANDBOX, Container, State

LAST = timedelta(minutes=1)
POINTS_MAX = 12
FIRST_ENDS = 2
# From an end until it is told: so long the engine has to say that memory was the reason.
NEWS_S = 2.0
MIB = 1 << 20
SIGNALS = {
    1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL",
    11: "SEGV", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 31: "SYS",
}  # fmt: skip


class Sample(NamedTuple):
    """What a container held of memory at a moment: its working set."""

    at: datetime
    memory_bytes: int


class Memory(NamedTuple):
    """What is known of memory: of the container's last minute, and of its pod since it began.

    pod_peak_bytes: the most that all of the pod held at one time, what it had cached of files
        included, as the kernel has counted; None where it does not tell.
    """

    samples: Sequence[Sample] = ()
    pod_peak_bytes: int | None = None


NOTHING_MEASURED = Memory()


def is_abnormal(one: Container) -> bool:
    """Whether a container ended, and not with code 0."""
    is_over = one.name != SANDBOX and one.state is State.EXITED and not one.error
    return is_over and bool(one.exit_code or one.signal or one.oom_killed)


def is_told(end_count: int) -> bool:
    """Whether an end is told of, counted in its streak: the more there were, the more rarely."""
    return end_count <= FIRST_ENDS or end_count & (end_count - 1) == 0


def story_of(
    ended: Container,
    wanted: Wanted,
    memory: Memory = NOTHING_MEASURED,
    pressures: Sequence[str] = (),
    probe: str = "",
) -> str:
    """Return what is known of an end. probe: why a probe wanted it, empty where none did."""
    parts = [f"Container {ended.name} {_end(ended)}"]
    if probe:
        parts.append(f"it {probe}")
    if ended.oom_killed:
        parts.append(_whose_memory(wanted))
    if curve := _curve(ended, memory.samples):
        parts.append(f"memory in its last minute: {curve} MiB")
    if memory.pod_peak_bytes is not None:
        peak = round(memory.pod_peak_bytes / MIB)
        parts.append(f"its pod held {peak} MiB at most at one time, cached files included")
    if pressures:
        parts.append(f"the node told of {', '.join(sorted(pressures))}")
    return "; ".join(parts)


def _end(ended: Container) -> str:
    by = f" (signal {SIGNALS.get(ended.signal, ended.signal)})" if ended.signal else ""
    span = ""
    if ended.started_at is not None and ended.finished_at is not None:
        seconds = (ended.finished_at - ended.started_at).total_seconds()
        span = f" after {max(0.0, seconds):.0f} s"
    return f"ended with code {ended.exit_code}{by}{span}"


def _whose_memory(wanted: Wanted) -> str:
    limit = wanted.resources.limits.get("memory")
    if limit is not None:
        return f"the kernel ended it at its own memory limit of {limit}"
    return "the kernel ended it for want of memory; it has no limit of its own"


def _curve(ended: Container, samples: Sequence[Sample]) -> str:
    """Return the container's last minute, POINTS_MAX points at most; its newest one is kept."""
    since = ended.finished_at - LAST if ended.finished_at is not None else None
    last = [one for one in samples if since is None or one.at >= since]
    step = -(-len(last) // POINTS_MAX) or 1
    kept = last[::-1][::step][::-1]
    return ", ".join(str(round(one.memory_bytes / MIB)) for one in kept)
