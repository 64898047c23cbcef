"""The planned failures that Sieve puts to controllers, on a tiny world with a fixed story.

A story is played once without a failure, and then with one of a single planner: its view is some
writes behind; it does not see most states; or it dies after any of its writes and begins again with
no memory, and with a view that lacks that write. Each time the end must be the same, and what must
always hold, holds.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from controllers.sets.eligible import node_of
from cubernetes.api.coding import codec
from cubernetes.api.coordination.lease import NODE_LEASE_NAMESPACE, Lease
from cubernetes.api.core.node import Node
from cubernetes.api.core.node import is_ready as is_node_ready
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.meta import Object, replaced
from cubernetes.api.networking.ingress import Ingress
from cubernetes.reconcile.plan import Action, Planner
from tests.carry import World
from tests.given import a_condition

ROUND_S = 2.0
# The failure ends here, so that the rest of the story can mend what it did.
FAILING_ROUNDS = 24
# So many writes behind is a view that is stale; one state of so many is seen.
STALE, MISSED = (1, 3, 8), (2, 5)

type Failure = Literal["none", "stale", "unobserved", "crash"]
type Summary = Mapping[str, object]


class Story(NamedTuple):
    """deeds: what users and nodes do in which round. holds: what must be true after each write."""

    objects: Sequence[Object]
    planners: Sequence[Callable[[], Planner]]
    deeds: Mapping[int, Callable[[World], None]]
    holds: Callable[[World], None] = lambda _: None
    rounds: int = 42


class Plan(NamedTuple):
    """What fails: the planner at this place of the story's; amount: by, or at, how many writes."""

    failure: Failure = "none"
    victim: int = 0
    amount: int = 0


class Played(NamedTuple):
    """The end, and how many writes the victim made."""

    end: Summary
    write_count: int


class Play:
    """One run of a story."""

    def __init__(self, story: Story, plan: Plan) -> None:
        self._story, self._plan = story, plan
        self.world = World(story.objects)
        self._planners = [make() for make in story.planners]
        self._own_writes = [self.world.writes] * len(self._planners)
        self.write_count = 0
        # What a successor has seen when it begins: all but its predecessor's last write.
        self._seen: dict[int, int] = {}

    def run(self) -> None:
        for turn in range(self._story.rounds):
            self.world.now += timedelta(seconds=ROUND_S)
            if turn in self._story.deeds:
                self._story.deeds[turn](self.world)
            for place in range(len(self._planners)):
                self._plan_all(place, turn)
            tend(self.world)
            self._story.holds(self.world)

    def _fails(self, place: int, turn: int, failure: Failure) -> bool:
        is_victim = place == self._plan.victim and turn < FAILING_ROUNDS
        return is_victim and self._plan.failure == failure

    def _plan_all(self, place: int, turn: int) -> None:
        """Plan every key of a planner, unless it does not see this state."""
        if self._fails(place, turn, "unobserved") and turn % self._plan.amount:
            return
        behind = self._plan.amount if self._fails(place, turn, "stale") else 0
        # A barrier sees to it that a planner's view has its own last write.
        behind = min(behind, self.world.writes - self._own_writes[place])
        behind = max(behind, self.world.writes - self._seen.pop(place, self.world.writes))
        for key in self.world.keys(self._planners[place], behind):
            view = self.world.view(behind)
            for action in list(self._planners[place].plan(key, view, self.world.now)):
                if not self._is_done(place, action):
                    break

    def _is_done(self, place: int, action: Action) -> bool:
        """Carry an action out; return whether the plan goes on after it."""
        before = self.world.writes
        is_done = bool(self.world.carry_out([action]))
        if self.world.writes == before:
            return is_done
        self._story.holds(self.world)
        self._own_writes[place] = self.world.writes
        if place != self._plan.victim:
            return is_done
        self.write_count += 1
        if self._plan.failure != "crash" or self.write_count != self._plan.amount:
            return is_done
        # Its successor remembers nothing.
        self._planners[place] = self._story.planners[place]()
        self._seen[place] = before
        return False


def played(story: Story, plan: Plan) -> Played:
    play = Play(story, plan)
    play.run()
    return Played(summary(play.world), play.write_count)


class Suffered(NamedTuple):
    """How many writes the victim makes in peace, and the plans after which the end is another."""

    write_count: int
    unlike: Sequence[tuple[Plan, Summary]]


def suffer(make: Callable[[], Story], place: int) -> Suffered:
    """Play a story with every failure of one planner."""
    calm = played(make(), Plan("none", place))
    ends = [(plan, played(make(), plan).end) for plan in _plans(place, calm.write_count)]
    return Suffered(calm.write_count, [(plan, end) for plan, end in ends if end != calm.end])


def _plans(place: int, write_count: int) -> Iterator[Plan]:
    yield from (Plan("stale", place, amount) for amount in STALE)
    yield from (Plan("unobserved", place, amount) for amount in MISSED)
    yield from (Plan("crash", place, write) for write in range(1, write_count + 1))


def tend(world: World) -> None:
    """Bind what has no node to the next one with the fewest pods, run it, and end what goes.

    On a node that has let its Lease grow old nothing of this happens.
    """
    away = silent(world)
    nodes = [one.metadata.name for one in world.all(Node)] or ["n1"]
    nodes = [name for name in nodes if name not in away]
    counts = Counter(pod.spec.node_name for pod in world.all(Pod))
    for pod in world.all(Pod):
        if pod.spec.node_name in away:
            continue
        if pod.metadata.is_deleted:
            _end(world, pod)
        elif not pod.spec.node_name:
            node = node_of(pod) or min(nodes, key=lambda name: (counts[name], name))
            counts[node] += 1
            world.put(replaced(pod, spec=replaced(pod.spec, node_name=node)))
        elif not is_ready(pod) and not is_finished(pod):
            _run(world, pod)


def silent(world: World) -> set[str]:
    """Return the nodes that have a Lease, and have not renewed it in the last round."""
    oldest_at = world.now - timedelta(seconds=ROUND_S)
    return {
        one.metadata.name
        for one in world.all(Lease)
        if one.metadata.namespace == NODE_LEASE_NAMESPACE
        and (one.spec.renew_time is None or one.spec.renew_time < oldest_at)
    }


def _run(world: World, pod: Pod) -> None:
    ready = a_condition("Ready", since=world.now)
    is_work = pod.spec.restart_policy != "Always"
    world.put(
        replaced(
            pod,
            status=PodStatus(phase="Succeeded")
            if is_work
            else PodStatus(
                phase="Running",
                conditions=(ready,),
                pod_ip=_address(pod),
                start_time=pod.status.start_time or world.now,
            ),
        )
    )


def _address(pod: Pod) -> str:
    """Return an address that follows from the pod's name."""
    return f"10.244.{sum(pod.metadata.name.encode()) % 250}.{len(pod.metadata.name)}"


def _end(world: World, pod: Pod) -> None:
    if not pod.metadata.finalizers:
        world.remove(pod.ref)
    elif pod.metadata.deletion_grace_period_seconds:
        meta = replaced(pod.metadata, deletion_grace_period_seconds=0)
        ended = pod.status if is_finished(pod) else PodStatus(phase="Failed")
        world.put(replaced(pod, metadata=meta, status=ended))


# What is the same at the end, however it came about.
COUNTED = (
    "replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "currentReplicas",
    "desiredNumberScheduled", "numberReady", "updatedNumberScheduled", "numberMisscheduled",
    "succeeded", "failed", "active", "completedIndexes", "disruptionsAllowed", "currentHealthy",
    "expectedPods", "used", "phase", "gateways", "desiredReplicas",
)  # fmt: skip


def summary(world: World) -> Summary:
    """Return what the objects come to, without names, times and numbers that chance gives."""
    view = world.view()
    told: Counter[str] = Counter()
    for one in view.objects:
        status: Any = codec.to_tree(one).get("status", {})
        counts = {name: status[name] for name in COUNTED if name in status}
        facts = [type(one).__name__, one.metadata.namespace, str(sorted(counts.items()))]
        if isinstance(one, Pod):
            facts += [one.spec.containers[0].image, str(is_ready(one))]
        elif isinstance(one, Ingress):
            facts += [one.metadata.name, str(status.get("loadBalancer"))]
        elif isinstance(one, Node):
            facts += [one.metadata.name, str(is_node_ready(one))]
        elif one.metadata.controller is None:
            facts.append(one.metadata.name)
        told[" ".join(facts)] += 1
    return dict(sorted(told.items()))
