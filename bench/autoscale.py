"""`python -m bench.autoscale`: our engine, HPA's documented algorithm and Knative's on one load.

A world of seconds: pods of one core that requests share evenly, ready some seconds after they are
asked for. Each autoscaler sees what it would see: ours the cpu of the last seconds each second, HPA
that of 15 seconds every 15, Knative the requests under way. The references are written here of
their documentation: kubernetes.io (Horizontal Pod Autoscaling), knative.dev (the KPA's algorithm).
"""

import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from bench.ground.report import show
from cubernetes.autoscaling.engine import (
    Goal,
    History,
    Pace,
    PodSample,
    Policy,
    Proposal,
    Step,
    decided,
    proposed,
)

TARGET, MOST = 0.5, 40
READY_S = 2
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOISE = 0.05
CALM_S, END_S = 60, 900

type Trace = Sequence[float]


class Seen(NamedTuple):
    """What a second shows: cores used by each ready pod, requests under way, pods and their age."""

    second: int
    used: float
    under_way: float
    ready: int
    replicas: int


class Scaler(Protocol):
    def decide(self, seen: Seen) -> int:
        """Return how many replicas there are to be, after this second."""
        ...


@dataclass
class Ours:
    """The engine as the controllers run it: a window of seconds, a decision each second."""

    window_s: int
    down_s: int = 300
    _used: deque[tuple[float, int]] = field(default_factory=deque)
    _history: History = field(default_factory=History)

    def decide(self, seen: Seen) -> int:
        self._used.append((seen.used * seen.ready, seen.ready))
        while len(self._used) > self.window_s:
            self._used.popleft()
        total = sum(used for used, _ in self._used) / len(self._used)
        ready = [PodSample(str(index), 1000 * total / seen.ready, 1000.0)
                 for index in range(seen.ready)]  # fmt: skip
        young = [PodSample(f"u{index}", None, 1000.0, is_ready=False)
                 for index in range(seen.replicas - seen.ready)]  # fmt: skip
        result = proposed(seen.replicas, [*ready, *young], Goal(100 * TARGET, is_share=True))
        if not isinstance(result, Proposal):
            return seen.replicas
        up = Pace(0, (Step("Pods", 4, 15), Step("Percent", 100, 15)))
        policy = Policy(1, MOST, up, Pace(self.down_s, (Step("Percent", 100, 15),)))
        now = BEGIN + timedelta(seconds=seen.second)
        decision = decided(policy, seen.replicas, result.replicas, self._history, now)
        self._history = decision.history
        return decision.replicas


@dataclass
class Hpa:
    """HPA: every 15 s, by metrics of the last 15 s, up by 4 or 100 % in 15 s, down after 300 s."""

    _used: deque[float] = field(default_factory=lambda: deque(maxlen=15))
    _asked: deque[tuple[int, int]] = field(default_factory=deque)

    def decide(self, seen: Seen) -> int:
        self._used.append(seen.used * seen.ready)
        if seen.second % 15:
            return seen.replicas
        average = sum(self._used) / len(self._used)
        ratio = average / seen.ready / TARGET
        wanted = math.ceil(ratio * seen.ready) if abs(ratio - 1) > 0.1 else seen.replicas
        if ratio > 1 and seen.ready < seen.replicas:
            # Those that are not ready count as using nothing, and do not turn the direction.
            damped = average / seen.replicas / TARGET
            wanted = math.ceil(damped * seen.replicas) if damped > 1.1 else seen.replicas
        self._asked.append((seen.second, wanted))
        while self._asked[0][0] <= seen.second - 300:
            self._asked.popleft()
        if wanted > seen.replicas:
            return min(wanted, max(seen.replicas + 4, 2 * seen.replicas), MOST)
        past = max(count for _, count in self._asked)
        begun = seen.second < 300  # what was before is taken to have asked for what there is
        return seen.replicas if begun else max(1, min(seen.replicas, past))


@dataclass
class Knative:
    """KPA: every 2 s, the average of 60 s, of 6 s in panic (twice what there is room for)."""

    _under_way: deque[float] = field(default_factory=lambda: deque(maxlen=60))
    _panic_until: int = -1
    _panic_most: int = 0

    def decide(self, seen: Seen) -> int:
        self._under_way.append(seen.under_way)
        if seen.second % 2:
            return seen.replicas
        now = list(self._under_way)
        recent = now[-6:]
        stable = math.ceil(sum(now) / len(now) / TARGET)
        panic = math.ceil(sum(recent) / len(recent) / TARGET)
        floor = math.floor(seen.ready / 2)
        stable, panic = max(stable, floor), max(panic, floor)
        if panic >= 2 * max(1, seen.ready):
            self._panic_until = seen.second + 60
        if seen.second < self._panic_until:
            self._panic_most = max(self._panic_most, panic, seen.replicas)
            return min(MOST, self._panic_most)
        self._panic_most = 0
        return max(1, min(MOST, stable))


class Score(NamedTuple):
    """short_s: seconds with less capacity than load; first_s: until the first more of a load."""

    overshoot: float
    short_s: int
    replica_s: int
    flaps: int
    first_s: int


def lived(trace: Trace, scaler: Scaler) -> list[tuple[int, int]]:
    """Return (replicas asked for, ready pods) of each second of a life."""
    replicas = ready = 1
    coming: deque[tuple[int, int]] = deque()
    told = []
    for second, load in enumerate(trace):
        while coming and coming[0][0] <= second:
            ready = max(ready, coming.popleft()[1])
        ready = min(ready, replicas)
        used = min(1.0, load / ready)
        wanted = scaler.decide(Seen(second, used, load, ready, replicas))
        if wanted > replicas:
            coming.append((second + 1 + READY_S, wanted))
        replicas = wanted
        told.append((replicas, ready))
    return told


def scored(trace: Trace, told: Sequence[tuple[int, int]]) -> Score:
    ideal = max(math.ceil(max(trace) / TARGET), 1)
    changes = [b - a for (a, _), (b, _) in itertools.pairwise(told) if a != b]
    flaps = sum((one > 0) != (other > 0) for one, other in itertools.pairwise(changes))
    first = next((second - CALM_S for second in range(CALM_S, len(told))
                  if told[second][0] > told[CALM_S - 1][0]), -1)  # fmt: skip
    return Score(
        overshoot=max(0.0, round(max(one for one, _ in told) / ideal - 1, 2)),
        short_s=sum(load > ready for load, (_, ready) in zip(trace, told, strict=True)),
        replica_s=sum(one for one, _ in told),
        flaps=flaps,
        first_s=first,
    )


def noisy(shape: Callable[[int], float], name: str) -> Trace:
    """Return a trace: a shape with the noise of its name, the same in every run."""
    rng = random.Random(name)
    return [max(0.05, shape(second) * (1 + rng.gauss(0, NOISE))) for second in range(END_S)]


def traces() -> Mapping[str, Trace]:
    calm = 0.4
    return {
        "step": noisy(lambda s: calm if s < CALM_S else 4.0, "step"),
        "ramp": noisy(lambda s: calm + max(0, min(s - CALM_S, 300)) * 0.02, "ramp"),
        "spikes": noisy(lambda s: 5.0 if s >= CALM_S and s % 120 < 10 else calm, "spikes"),
        "sawtooth": noisy(
            lambda s: calm if s < CALM_S else calm + (s - CALM_S) % 180 / 180 * 5, "sawtooth"
        ),
    }


SCALERS: Mapping[str, Callable[[], Scaler]] = {
    "ours": lambda: Ours(2),
    "ours, window of 5 s": lambda: Ours(5),
    "hpa": Hpa,
    "knative": Knative,
}


def main() -> None:
    told = {
        name: {who: scored(trace, lived(trace, make()))._asdict() for who, make in SCALERS.items()}
        for name, trace in traces().items()
    }
    parameters = {"target": TARGET, "pods_max": MOST, "ready_s": READY_S, "noise": NOISE}
    show("autoscale", parameters, told)


if __name__ == "__main__":
    main()
