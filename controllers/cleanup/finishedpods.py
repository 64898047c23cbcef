"""Finished pods are collected: beyond so many in the cluster the oldest go, evicted ones first.

Most go before that with what made them: a Job with its `ttlSecondsAfterFinished`, a ReplicaSet's as
soon as they are replaced. What is left is of Jobs without one, and pods that nobody made.

**What is remembered** is when the next sweep is due, so that a thousand pods that end do not mean a
thousand sweeps; forgotten, the next sweep comes sooner.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, Delete, RequeueAfter, View

EVERY_POD = Ref("FinishedPodSweep", "", "")
SWEEP_S = 20.0
BURST = 200  # deletes in one sweep; a larger backlog is swept on, a second later
BACKLOG_PAUSE_S = 1.0
EVICTED = "Evicted"


@dataclass(slots=True)
class FinishedPods:
    """Plans for all pods at once. count_max: so many finished ones stay; 0: as many as there are.

    A pod of a Job leaves only once it has been counted: its finalizer sees to that.
    """

    count_max: int = 12_500
    due_at: datetime | None = None

    name = "finishedpods"
    kinds: tuple[type[Object], ...] = (Pod,)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        is_ended = isinstance(changed, Pod) and is_finished(changed)
        return (EVERY_POD,) if is_ended and self.count_max else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:  # noqa: ARG002
        # A due time further away than a sweep is one that a clock set back has left behind.
        left_s = (self.due_at - now).total_seconds() if self.due_at is not None else 0.0
        if 0 < left_s <= SWEEP_S:
            yield RequeueAfter(left_s)
            return
        finished = [pod for pod in view.list(Pod) if is_finished(pod)]
        extra_count = max(0, len(finished) - self.count_max)
        # Those that are going already are part of the extra ones.
        going_count = sum(pod.metadata.is_deleted for pod in finished)
        kept = sorted((pod for pod in finished if not pod.metadata.is_deleted), key=_worth)
        old = kept[: max(0, extra_count - going_count)]
        for pod in old[:BURST]:
            yield Delete(Pod, pod.ref, pod.metadata.uid)
        pause_s = BACKLOG_PAUSE_S if len(old) > BURST else SWEEP_S
        self.due_at = now + timedelta(seconds=pause_s)
        if len(old) > BURST:
            yield RequeueAfter(pause_s)


def _worth(pod: Pod) -> tuple[bool, float, Ref]:
    """Return what sorts those first that tell the least: evicted, then old."""
    created = pod.metadata.creation_timestamp
    return pod.status.reason != EVICTED, created.timestamp() if created else 0.0, pod.ref
