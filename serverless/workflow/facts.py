"""What has happened to a run of a workflow: facts, each in a record under a key of its own. Pure.

A run is what its facts say together, in whatever order they are read. The topic is compacted: of
the records of a key the last is kept, for as long as the run is; one without a value removes it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from cubernetes.api.serverless.workflow import WorkflowSpec


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """run: of which run; at_ms: when, since 1970."""

    run: str
    at_ms: int

    @property
    def key(self) -> str:
        return f"{self.run}/{type(self).__name__.lower()}"


class Started(Fact, frozen=True, kw_only=True):
    """A run has begun. spec: of the workflow as it was then; the body is the input, in JSON."""

    namespace: str
    workflow: str
    uid: str
    spec: WorkflowSpec


class StepEnded(Fact, frozen=True, kw_only=True):
    """A step has ended, or one item of it (-1: it has none); the body is its output, in JSON.

    epoch: how often it had been begun anew. call: the call that it was; empty: it was none.
    """

    step: str
    item: int = -1
    epoch: int = 0
    is_ok: bool
    error: str = ""
    attempts: int = 0
    call: str = ""

    @property
    def key(self) -> str:
        return f"{self.run}/step/{self.step}/{self.item}"


class Signalled(Fact, frozen=True, kw_only=True):
    """A signal has come; the body is what was sent with it, in JSON."""

    signal: str

    @property
    def key(self) -> str:
        return f"{self.run}/signal/{self.signal}"


class Cancelled(Fact, frozen=True, kw_only=True):
    """Somebody wants the run to go no further; epoch: how often it had been resumed."""

    epoch: int = 0


class Resumed(Fact, frozen=True, kw_only=True):
    """The run goes on, after it had ended.

    epoch: how often it has been resumed. anew: what begins anew, and since which epoch: steps with
    all their items as `STEP`, one item or the step itself (-1) as `STEP/ITEM`. What earlier times
    began anew is among it.
    """

    epoch: int
    anew: Mapping[str, int]


class Ended(Fact, frozen=True, kw_only=True):
    """The run has ended: succeeded, failed or cancelled; the body is its output, in JSON."""

    outcome: str
    error: str = ""
    epoch: int = 0


AnyFact = Started | StepEnded | Signalled | Cancelled | Resumed | Ended
# The same for who reads one: a type of several is none to the type checker.
FACTS: Any = AnyFact
