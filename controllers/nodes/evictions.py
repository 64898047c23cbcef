"""Evictions: pods of one node are ended, some at a time, and people are told why."""

from collections.abc import Iterator, Sequence

from cubernetes.api.core.pod import Pod
from cubernetes.reconcile.plan import Action, Delete, Record

EVICTION_BURST = 20  # pods of one node in one plan


def evicted(pods: Sequence[Pod], why: str) -> Iterator[Action]:
    """Yield what ends the first of these pods; why is told behind `Evicted: `."""
    for pod in pods[:EVICTION_BURST]:
        yield Delete(Pod, pod.ref, pod.metadata.uid)
        yield Record(pod, "TaintManagerEviction", f"Evicted: {why}", "Warning")
