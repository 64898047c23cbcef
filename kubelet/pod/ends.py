"""Tells of a pod's containers that ended otherwise than well: one Event for each such end."""

from collections.abc import Mapping, Sequence

from cubernetes.api.core.pod import Pod
from cubernetes.reconcile.plan import Record
from kubelet.pod.decisions import plan
from kubelet.pod.decisions.memory import CrashStreak
from kubelet.pod.decisions.postmortem import Memory, is_abnormal, is_told, story_of
from kubelet.pod.decisions.specs import wanted_named
from kubelet.pod.images import container_path
from kubelet.pod.parts import Parts
from kubelet.runtime.driver import Container, State

REASON = "ContainerDied"


class Ends:
    """Of one pod. What had ended before this kubelet began was told then, or nobody saw it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ended: frozenset[str] | None = None
        # Containers that the kubelet itself stops: why a probe wanted it, empty for other reasons.
        self._stopped: dict[str, str] = {}

    def stopping(self, step: plan.Stop) -> None:
        """The kubelet is about to stop these."""
        why = step.why if step.is_unhealthy else ""
        self._stopped |= dict.fromkeys((*step.ids, *step.later), why)

    async def look(
        self, pod: Pod, found: Sequence[Container], streaks: Mapping[str, CrashStreak]
    ) -> None:
        """Tell of what has ended since the last look."""
        before = self._ended
        self._ended = frozenset(one.id for one in found if one.state is State.EXITED)
        here = {one.id for one in found}
        for one in found:
            if before is None or one.id in before or pod.metadata.is_deleted:
                continue
            if is_abnormal(one) and self._stopped.get(one.id) != "":
                await self._tell(pod, one, streaks.get(one.name))
        self._stopped = {key: why for key, why in self._stopped.items() if key in here}

    async def _tell(self, pod: Pod, one: Container, streak: CrashStreak | None) -> None:
        wanted = wanted_named(pod, one.name)
        if wanted is None or not is_told(streak.count if streak is not None else 1):
            return
        memory = Memory(
            self._parts.memory_samples(one.id), await self._parts.memory_peak(pod.metadata.uid)
        )
        pressures = self._parts.pressures()
        message = story_of(one, wanted, memory, pressures, self._stopped.get(one.id, ""))
        path = container_path(pod, one.name)
        self._parts.recorder.record(Record(pod, REASON, message, "Warning", path))
