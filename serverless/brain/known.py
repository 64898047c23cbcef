"""What the brain remembers of instances beyond their pods, and what is under way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cubernetes.api.condition import condition_of
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.meta import Ref
from cubernetes.api.serverless.function import SizeClass
from cubernetes.api.serverless.functionrevision import FunctionRevision
from cubernetes.host.timing.backoff import backoff_s
from serverless.board.board import Seat
from serverless.board.key import FunctionKey
from serverless.brain.pods import address_of, function_of, size_of

REVISIONS_MAX = 2  # an instance keeps so many, beside those that calls go to
# How long an instance rests from a revision that it could not load: twice as long each time.
AGAIN_S, AGAIN_S_MAX = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class FailedLoad:
    """A pod has not loaded a revision, so often in turn; it is given it again at again_s."""

    count: int
    again_s: float
    why: str


@dataclass(slots=True)
class Remembered:
    """What is known of a pod beside what the API shows; claimed is not shown there yet.

    serving: the revisions that it was given calls of last. failed: those that it could not load.
    """

    claimed: FunctionKey | None = None
    loaded: tuple[str, ...] = ()
    serving: tuple[tuple[str, int], ...] = ()
    failed: dict[str, FailedLoad] = field(default_factory=dict)
    is_busy: bool = False
    is_broken: bool = False
    is_draining: bool = False


@dataclass(slots=True)
class Memory:
    """What is known and under way.

    coming: pods that are being made, by name. making: revisions that are being made or deleted.
    verdicts: revisions as they will be once what was found of them is written.
    lacking: which Secret a revision waits for, by its reference.
    """

    pods: dict[str, Remembered] = field(default_factory=dict)
    coming: dict[str, tuple[FunctionKey | None, SizeClass]] = field(default_factory=dict)
    making: set[str] = field(default_factory=set)
    verdicts: dict[Ref, FunctionRevision] = field(default_factory=dict)
    lacking: dict[Ref, str] = field(default_factory=dict)
    writing: set[Ref] = field(default_factory=set)

    def of(self, pod_uid: str) -> Remembered:
        return self.pods.setdefault(pod_uid, Remembered())

    def loaded(self, pod_uid: str, revision: str, keep: Sequence[str] = ()) -> None:
        """A pod has loaded a revision; it has its newest and those of keep."""
        one = self.of(pod_uid)
        one.failed.pop(revision, None)
        names = (*(name for name in one.loaded if name != revision), revision)
        newest = names[-REVISIONS_MAX:]
        one.loaded = tuple(name for name in names if name in newest or name in keep)

    def failed(
        self, pod_uid: str, revision: str, why: str, now_s: float, most_s: float = AGAIN_S_MAX
    ) -> None:
        """A pod has not loaded a revision: it rests from it, most_s at most."""
        one = self.of(pod_uid)
        before = one.failed.get(revision)
        count = before.count + 1 if before is not None else 1
        again_s = now_s + backoff_s(count, base_s=AGAIN_S, limit_s=most_s)
        one.failed[revision] = FailedLoad(count, again_s, why)

    def lost(self, pod_uid: str, revision: str) -> None:
        """A pod has no longer what it had loaded."""
        one = self.of(pod_uid)
        one.loaded = tuple(name for name in one.loaded if name != revision)

    def forget_absent(self, pods: Iterable[Pod]) -> None:
        there = {pod.metadata.uid for pod in pods}
        self.pods = {uid: one for uid, one in self.pods.items() if uid in there}

    def revisions(self, shown: Iterable[FunctionRevision]) -> list[FunctionRevision]:
        """Return the revisions that are shown, with what is known of them by now."""
        found = []
        shown = list(shown)
        refs = {one.ref for one in shown}
        self.lacking = {ref: told for ref, told in self.lacking.items() if ref in refs}
        for one in shown:
            known = self.verdicts.get(one.ref)
            is_newer = known is not None and known.metadata.uid == one.metadata.uid
            if one.status.conditions:
                # What was found is shown by now.
                self.verdicts.pop(one.ref, None)
                found.append(one)
            else:
                found.append(known if known is not None and is_newer else one)
        return found


def seat_of(pod: Pod, one: Remembered, split: Sequence[tuple[str, int]]) -> Seat | None:
    """Return the seat that an instance offers; None where it takes no calls.

    split: the revisions that calls go to, and their parts; of these it serves what it has loaded.
    One that has none of them yet serves what it served before; what it has only tried it does not.
    """
    is_open = is_ready(pod) and not one.is_draining and not one.is_broken and one.loaded
    if not is_open:
        return None
    has = [told for told in split if told[0] in one.loaded]
    before = [told for told in one.serving if told[0] in one.loaded]
    tried = [] if split else [(one.loaded[-1], 100)]
    one.serving = tuple(has or before or tried)
    if not one.serving:
        return None
    parts = one.serving if len(one.serving) > 1 else ()
    return Seat(pod.metadata.name, address_of(pod), one.serving[0][0], parts)


def why_waiting(pod: Pod, one: Remembered) -> str:
    """Return what an instance waits for before it can serve; empty: for nothing that is known."""
    scheduled = condition_of(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return f"no node for {pod.metadata.name}: {scheduled.message}"
    for told in pod.status.container_statuses:
        if (waiting := told.state.waiting) is not None:
            return f"{pod.metadata.name}: {waiting.reason} {waiting.message}".strip()
    if one.failed and not one.loaded:
        name, failed = next(iter(one.failed.items()))
        return f"{pod.metadata.name} could not load {name}: {failed.why}"
    return ""


def is_instance(pod: Pod) -> bool:
    """Whether a pod is an instance that nobody has asked to go."""
    return size_of(pod) is not None and not pod.metadata.is_deleted


def function_for(pod: Pod, one: Remembered) -> FunctionKey | None:
    return function_of(pod) or one.claimed


def has_ended(pod: Pod, one: Remembered) -> bool:
    return one.is_broken or is_finished(pod)
