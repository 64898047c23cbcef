"""NoExecute taints: pods that do not bear a node's taints are ended, at once or after their span.

A pod's span (`tolerationSeconds`) begins when we see the taint and the pod together, by our own
clock; the taint's `timeAdded` is another machine's time. **What is remembered** is that moment, per
node, pod and taint. It may be lost: after a restart the spans begin anew, so pods stay longer,
never shorter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from controllers.nodes.evictions import EVICTION_BURST, evicted
from cubernetes.api.core.node import Node, Taint
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podspec.toleration import borne_s
from cubernetes.api.meta import Object, Ref
from cubernetes.reconcile.plan import Action, RequeueAfter, View

NEXT_BURST_S = 1.0


type Since = dict[tuple[str, str, str], datetime]  # by a pod's uid and a taint's key and value


@dataclass(slots=True)
class Taints:
    """Plans by Node."""

    seen: dict[Ref, Since] = field(default_factory=dict)

    name = "taints"
    kinds: tuple[type[Object], ...] = (Node, Pod)

    def keys(self, changed: Object, view: View) -> Iterable[Ref]:  # noqa: ARG002
        if not isinstance(changed, Pod):
            return (changed.ref,)
        node = changed.spec.node_name
        return (Ref(Node.resource.kind, "", node),) if node else ()

    def plan(self, key: Ref, view: View, now: datetime) -> Iterator[Action]:
        node = view.get(Node, key.name)
        hard = [] if node is None else [one for one in node.spec.taints if is_hard(one)]
        if not hard:
            self.seen.pop(key, None)
            return
        pods = [pod for pod in view.on_node(Pod, key.name) if not is_over(pod)]
        since = self.seen[key] = since_of(self.seen.get(key, {}), pods, hard, now)
        left = [(left_s(pod, hard, since, now), pod) for pod in pods]
        due = [pod for span_s, pod in left if span_s <= 0]
        told = ", ".join(sorted(f"{one.key}:{one.effect}" for one in hard))
        yield from evicted(due, f"node {key.name} has the taint {told}")
        if len(due) > EVICTION_BURST:
            yield RequeueAfter(NEXT_BURST_S)
        elif later_s := [span_s for span_s, _ in left if 0 < span_s < inf]:
            yield RequeueAfter(min(later_s))


def is_hard(taint: Taint) -> bool:
    return taint.effect == "NoExecute"


def is_over(pod: Pod) -> bool:
    return pod.metadata.is_deleted or is_finished(pod)


def since_of(old: Since, pods: Iterable[Pod], taints: Iterable[Taint], now: datetime) -> Since:
    """Return since when each pod has been seen with each taint; what is over is forgotten."""
    keys = [(pod.metadata.uid, one.key, one.value) for pod in pods for one in taints]
    # By a clock that has been set back, nothing was seen in the future.
    return {key: min(old.get(key, now), now) for key in keys}


def left_s(pod: Pod, taints: Iterable[Taint], since: Since, now: datetime) -> float:
    """Return for how long the pod still bears all of the taints; 0 and less: no longer."""
    begun = ((one, since[pod.metadata.uid, one.key, one.value]) for one in taints)
    return min(
        borne_s(pod.spec.tolerations, taint) - (now - at).total_seconds() for taint, at in begun
    )
