"""A run: what its facts say together. Pure, but for being filled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cubernetes.api.serverless.workflow import WorkflowSpec, steps_before
from serverless.workflow.facts import (
    AnyFact,
    Cancelled,
    Ended,
    Resumed,
    Signalled,
    Started,
    StepEnded,
)

NO_ITEM = -1


@dataclass(slots=True)
class Run:
    """One run. ended: by step and item, with the output; of a signal, what was sent with it.

    before: for each step those that are settled before it, in the order of the graph.
    """

    started: Started
    input: Any
    before: Mapping[str, frozenset[str]]
    ended: dict[tuple[str, int], tuple[StepEnded, Any]] = field(default_factory=dict)
    signals: dict[str, tuple[Signalled, Any]] = field(default_factory=dict)
    cancelled: Cancelled | None = None
    resumed: Resumed | None = None
    finished: Ended | None = None
    output: Any = None
    size_bytes: int = 0

    @property
    def spec(self) -> WorkflowSpec:
        return self.started.spec

    @property
    def id(self) -> str:
        return self.started.run

    @property
    def epoch(self) -> int:
        """Return how often the run has been resumed."""
        return self.resumed.epoch if self.resumed is not None else 0

    @property
    def began_ms(self) -> int:
        """Return since when it runs: since it was resumed last."""
        return (self.resumed or self.started).at_ms

    @property
    def end(self) -> Ended | None:
        """Return how it has ended; None: it has not, or goes on since then."""
        found = self.finished
        return found if found is not None and found.epoch == self.epoch else None

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled is not None and self.cancelled.epoch == self.epoch

    def epoch_of(self, step: str, item: int = NO_ITEM) -> int:
        """Return how often a step, or one item of it, has been begun anew."""
        anew = self.resumed.anew if self.resumed is not None else {}
        return max(anew.get(step, 0), anew.get(f"{step}/{item}", 0))

    def ended_of(self, step: str, item: int = NO_ITEM) -> tuple[StepEnded, Any] | None:
        """Return how a step or an item has ended, since it was begun last."""
        found = self.ended.get((step, item))
        return found if found is not None and found[0].epoch == self.epoch_of(step, item) else None

    def learn(self, fact: AnyFact, body: bytes) -> None:
        """Add a fact: facts may come in any order, and twice; the first of an epoch counts."""
        self.size_bytes += len(body)
        value = msgspec.json.decode(body) if body else None
        match fact:
            case StepEnded():
                known = self.ended.get((fact.step, fact.item))
                if _is_newer(fact, known[0] if known is not None else None):
                    self.ended[fact.step, fact.item] = fact, value
            case Signalled():
                self.signals.setdefault(fact.signal, (fact, value))
            case Cancelled() if _is_newer(fact, self.cancelled):
                self.cancelled = fact
            case Resumed() if _is_newer(fact, self.resumed):
                self.resumed = fact
            case Ended() if _is_newer(fact, self.finished):
                self.finished, self.output = fact, value

    def fact_keys(self) -> list[str]:
        """Return the keys of all its facts, that of its start first."""
        single = (self.cancelled, self.resumed, self.finished)
        return [
            self.started.key,
            *(one.key for one, _ in self.ended.values()),
            *(one.key for one, _ in self.signals.values()),
            *(one.key for one in single if one is not None),
        ]


def _is_newer[F: (StepEnded, Cancelled, Resumed, Ended)](fact: F, known: F | None) -> bool:
    return known is None or known.epoch < fact.epoch


def run_of(started: Started, body: bytes) -> Run:
    """Return a run that has begun."""
    before = steps_before(started.spec.steps)
    return Run(started, msgspec.json.decode(body), before, size_bytes=len(body))
