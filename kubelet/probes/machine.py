"""What the answers to a container's probes mean, by Kubernetes' rules (`prober/worker.go`). Pure.

Each probe of a container takes a course. A verdict is reached by as many equal answers in a row as
the probe's thresholds say; fewer leave it as it was. Until the startup probe passes, the other two
are not asked; once it has passed, it is asked no more. A startup or liveness probe that has failed
is not asked again: its container is ended, and the next one begins a course of its own. Of a pod
that ends, only readiness is asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.probes.probe import Probe


class Kind(Enum):
    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


# What is held of a container before its probe has been answered often enough.
FIRST_VERDICTS = {Kind.STARTUP: None, Kind.LIVENESS: True, Kind.READINESS: False}


@dataclass(frozen=True, slots=True)
class Course:
    """verdict: whether the probe passes; None: not known yet.

    last, run_count: what the last answers were, and so many of them in a row.
    """

    verdict: bool | None
    last: bool | None = None
    run_count: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """The courses of one container's probes; a container without any is healthy."""

    courses: Mapping[Kind, Course] = field(default_factory=dict)

    @property
    def is_started(self) -> bool:
        return self._verdict(Kind.STARTUP) is True

    @property
    def is_ready(self) -> bool:
        return self.is_started and self._verdict(Kind.READINESS) is True

    @property
    def failed(self) -> Kind | None:
        """Return the probe because of which the container is to be ended, if there is one."""
        for kind in (Kind.STARTUP, Kind.LIVENESS):
            if self._verdict(kind) is False:
                return kind
        return None

    def asked(self, *, is_ending: bool) -> Iterator[Kind]:
        """Yield the probes that are to be asked as things stand."""
        is_asked = {
            Kind.STARTUP: not is_ending and self._verdict(Kind.STARTUP) is None,
            Kind.LIVENESS: not is_ending and self.is_started and self.failed is None,
            Kind.READINESS: is_ending or self.is_started,
        }
        yield from (kind for kind in Kind if kind in self.courses and is_asked[kind])

    def answered(self, kind: Kind, probe: Probe, *, is_success: bool) -> "Health":
        """Return the health after an answer to one of its probes."""
        before = self.courses[kind]
        run_count = before.run_count + 1 if before.last is is_success else 1
        needed = probe.success_threshold if is_success else probe.failure_threshold
        verdict = is_success if run_count >= needed else before.verdict
        course = Course(verdict, is_success, min(run_count, needed))
        return replace(self, courses={**self.courses, kind: course})

    def _verdict(self, kind: Kind) -> bool | None:
        course = self.courses.get(kind)
        return True if course is None else course.verdict


HEALTHY = Health()


def first_health(wanted: Wanted, *, was_started: bool = False, was_ready: bool = False) -> Health:
    """Return the health of a container that was not asked yet.

    was_started, was_ready: what an earlier life of the kubelet has found of this very container;
    it holds until the answers say otherwise.
    """
    known = {Kind.STARTUP: was_started, Kind.READINESS: was_ready}
    courses = {}
    for kind in probes_of(wanted):
        courses[kind] = Course(True if known.get(kind) else FIRST_VERDICTS[kind])
    return Health(courses)


def probes_of(wanted: Wanted) -> Mapping[Kind, Probe]:
    """Return the probes that a container has."""
    each = {
        Kind.STARTUP: wanted.startup_probe,
        Kind.LIVENESS: wanted.liveness_probe,
        Kind.READINESS: wanted.readiness_probe,
    }
    return {kind: probe for kind, probe in each.items() if probe is not None}


def first_due_s(probe: Probe, ran_s: float, jitter_s: float) -> float:
    """Return in how many seconds a probe is asked first of a container that has run for ran_s.

    jitter_s: by how much it is put off, so that the probes of a kubelet which has just begun do
    not all come at once.
    """
    return max(0.0, probe.initial_delay_seconds - ran_s) + jitter_s
