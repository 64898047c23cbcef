"""A pod that needs a node: what is asked of nodes for it, and what is to be written of it. Pure."""

from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.meta import replaced
from cubernetes.scheduling.claims import Late, Needs
from cubernetes.scheduling.nodeinfo import PodRequests
from cubernetes.scheduling.peers.neighbour import Neighbour
from cubernetes.scheduling.plan import Placement, Unschedulable, is_reported
from cubernetes.scheduling.preempt import Preemption
from cubernetes.scheduling.standing import Standing


class Write(NamedTuple):
    """What is to be written of a pod, and in which epoch of `Waiting` it was decided."""

    pod: Pod
    verdict: Placement | Unschedulable
    epoch: int
    room: Preemption | None = None
    # Claims that are told where their volumes are to be; the pod is bound once they have them.
    claims: tuple[Late, ...] = ()

    @property
    def nominated(self) -> str:
        return self.room.node if self.room is not None else ""

    @property
    def says_nothing_new(self) -> bool:
        """Whether a pod says already that no node takes it, and nobody is to leave for it."""
        victims = self.room.victims.values() if self.room is not None else ()
        return (
            isinstance(self.verdict, Unschedulable)
            and is_reported(self.pod, self.verdict)
            and self.pod.status.nominated_node_name == self.nominated
            and all(one.neighbour.is_leaving for one in victims)
        )


class Asking(NamedTuple):
    """A pod that needs a node, with what is asked of nodes for it."""

    pod: Pod
    requests: PodRequests
    neighbour: Neighbour
    standing: Standing
    needs: Needs

    @property
    def weight(self) -> tuple[PodRequests, Neighbour, Standing]:
        """As what the pod counts where it is, whatever its claims asked for."""
        plain = self.requests._replace(volumes=(), images=())
        return plain, self.neighbour, self.standing


def weighs_the_same(old: Pod, new: Pod) -> bool:
    """Tell whether a pod is to nodes and to other pods what it was."""
    return _is_same_beside(old, new) and old.spec == new.spec


def _is_same_beside(old: Pod, new: Pod) -> bool:
    before, after = old.metadata, new.metadata
    is_same = before.labels == after.labels and before.is_deleted == after.is_deleted
    return is_same and old.status.phase == new.status.phase


def is_bound_as_asked(asked: Pod | None, new: Pod) -> bool:
    """Tell whether a bound pod is, but for its node, the one that was decided on.

    Then it weighs where it is bound what it was assumed to weigh there. asked: None: no decision.
    """
    if asked is None or not _is_same_beside(asked, new):
        return False
    is_same = asked.status.start_time == new.status.start_time
    return is_same and replaced(new.spec, node_name="") == asked.spec


def asks_anew(old: Pod, new: Pod) -> bool:
    """Tell whether a change may change the decision. Our own note that no node fits does not."""
    before, after = old.metadata, new.metadata
    return (before.uid, before.labels) != (after.uid, after.labels) or old.spec != new.spec
