"""What an autoscaler has decided, with all that it decided on: entries of its history."""

from cubernetes.api.meta import Instant, Model, shown


class Measured(Model):
    """One metric of a round: what there was of it, and how many replicas it asked for.

    metric: which one: `cpu`, `cpu/main`, `pods/hits`, `external/queue`.
    target: what it should be: percent of the requests, or an amount.
    is_share: whether the target is a percentage.
    used: what all pods with samples used together, in milli-cores, bytes or thousandths.
    requested: what each of them requests.
    ready: pods whose samples count.
    missing: pods without a sample.
    unready: pods whose samples say nothing of the load yet.
    proposed: how many replicas it asked for; none where nothing could be said.
    """

    metric: str
    target: float
    is_share: bool = shown(False)
    used: float = shown(0.0)
    requested: float = shown(0.0)
    ready: int = shown(0)
    missing: int = shown(0)
    unready: int = shown(0)
    proposed: int | None = None


class Entry(Model):
    """One round of an autoscaler: what it found, and what it did.

    at: when.
    replicas: how many there were.
    wanted: how many there are to be.
    minimum: the lower bound.
    maximum: the upper bound.
    reason: why it is so many, as one word for programs.
    measured: what each metric was.
    """

    at: Instant
    replicas: int
    wanted: int
    minimum: int = 0
    maximum: int = 0
    reason: str = ""
    measured: tuple[Measured, ...] = ()


class AutoscalerHistory(Model):
    """What an autoscaler has decided, the oldest first.

    entries: each change, each refusal, and what was found every 15 seconds at least.
    """

    api_version: str = shown("cubernetes.io/v1")
    kind: str = shown("AutoscalerHistory")
    entries: tuple[Entry, ...] = ()
