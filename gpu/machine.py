"""The life of a GPU job: what each piece of news makes of each phase. Pure.

A job is in one phase, which its status tells. News come from its site, which is asked by the job's
submission key, from the plan of the queues, and from the job's owner. Three laws hold of the table:

* A phase never goes back by itself. A site may tell a state that is older than one told before (a
  controller that was begun anew from an old copy): `Running` stays `Running` where the site says
  `QUEUED`. Only the next attempt begins anew, with a key of its own, and only after a loss.
* An end is final. Whatever a site says later changes nothing, and a job that has ended is never
  sent again.
* Nothing is sent that may have been sent: `ABSENT` in the phase `Submitting` is the only news that
  lets a job be sent, so that one whose sending was interrupted is found by its key. The site says
  it; of a key that this program has written itself and not sent yet, nobody needs to be asked.
"""

from dataclasses import dataclass
from enum import StrEnum, auto

from cubernetes.api.gpu.gpujob import Phase


class Event(StrEnum):
    """What may happen to a job."""

    ADMITTED = auto()  # by the plan: it has GPUs, and a key
    CANCEL = auto()  # its owner wants it ended
    ABSENT = auto()  # the site answers, and does not know the key
    REFUSED = auto()  # the site will never take it as it is
    QUEUED = auto()
    RUNNING = auto()
    SUCCEEDED = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    OUT_OF_MEMORY = auto()
    CANCELLED = auto()  # at the site: by its people, or because we asked
    LOST = auto()  # with its machine


class Effect(StrEnum):
    """What is to be done at the site, or with the job."""

    NOTHING = auto()
    SUBMIT = auto()
    CANCEL = auto()
    # It waits again where it has attempts left, and has failed where not.
    RETRY = auto()


@dataclass(frozen=True, slots=True)
class Step:
    phase: Phase
    effect: Effect = Effect.NOTHING


class Impossible(Exception):
    """A pair that our own code never makes."""


LIVE: tuple[Phase, ...] = ("Submitting", "Queued", "Running", "Cancelling")
ENDS: tuple[Phase, ...] = ("Succeeded", "Failed", "TimedOut", "OutOfMemory", "Cancelled")
END_OF: dict[Event, Phase] = {
    Event.SUCCEEDED: "Succeeded",
    Event.FAILED: "Failed",
    Event.TIMED_OUT: "TimedOut",
    Event.OUT_OF_MEMORY: "OutOfMemory",
    Event.CANCELLED: "Cancelled",
}
TABLE: dict[tuple[Phase, Event], Step] = {
    ("Pending", Event.ADMITTED): Step("Submitting"),
    # It was never sent, or what was sent is known to be over.
    ("Pending", Event.CANCEL): Step("Cancelled"),
    ("Submitting", Event.ABSENT): Step("Submitting", Effect.SUBMIT),
    ("Submitting", Event.REFUSED): Step("Failed"),
    ("Submitting", Event.QUEUED): Step("Queued"),
    ("Submitting", Event.RUNNING): Step("Running"),
    ("Submitting", Event.CANCEL): Step("Cancelling", Effect.CANCEL),
    ("Queued", Event.QUEUED): Step("Queued"),
    ("Queued", Event.RUNNING): Step("Running"),
    ("Queued", Event.CANCEL): Step("Cancelling", Effect.CANCEL),
    ("Running", Event.QUEUED): Step("Running"),
    ("Running", Event.RUNNING): Step("Running"),
    ("Running", Event.CANCEL): Step("Cancelling", Effect.CANCEL),
    ("Cancelling", Event.QUEUED): Step("Cancelling", Effect.CANCEL),
    ("Cancelling", Event.RUNNING): Step("Cancelling", Effect.CANCEL),
    ("Cancelling", Event.CANCEL): Step("Cancelling"),
    ("Cancelling", Event.ABSENT): Step("Cancelled"),
    ("Cancelling", Event.LOST): Step("Cancelled"),
    # What was there is not there any more: whatever became of it, nobody will tell.
    ("Queued", Event.ABSENT): Step("Pending", Effect.RETRY),
    ("Running", Event.ABSENT): Step("Pending", Effect.RETRY),
    ("Submitting", Event.LOST): Step("Pending", Effect.RETRY),
    ("Queued", Event.LOST): Step("Pending", Effect.RETRY),
    ("Running", Event.LOST): Step("Pending", Effect.RETRY),
    **{(phase, event): Step(end) for phase in LIVE for event, end in END_OF.items()},
    **{(end, event): Step(end) for end in ENDS for event in Event if event != Event.ADMITTED},
}


def step(phase: Phase, event: Event) -> Step:
    """Return what an event makes of a phase.

    Raises: Impossible: only waiting jobs are admitted, only those that were sent are at sites, and
        only what is being sent can be refused.
    """
    try:
        return TABLE[phase, event]
    except KeyError:
        raise Impossible(f"{event} in the phase {phase}") from None
