"""A set's life without a cluster: its planner, a kubelet of a few lines, and a user."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from controllers.sets.eligible import node_of
from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.meta import Object, replaced
from cubernetes.reconcile.plan import Action, Planner
from tests.carry import World
from tests.given import a_container, a_template

ROUNDS_MAX = 300
BAD = "bad"  # an image whose pods never become ready


class Life[K: Object]:
    """A world with one set; each method is one step of somebody in it."""

    def __init__(self, planner: Planner, wanted: K, *more: Object) -> None:
        self.world = World([wanted, *more])
        self.planner, self._kind, self._ref = planner, type(wanted), wanted.ref
        self._own_writes = self.world.writes
        # What is looked at after every action, with the action.
        self.watched: list[Callable[[Action], None]] = []

    @property
    def wanted(self) -> K:
        one = self.world.get(self._kind, self._ref.name, self._ref.namespace)
        assert one is not None
        return one

    @property
    def pods(self) -> list[Pod]:
        return list(self.world.all(Pod))

    def pod(self, name: str) -> Pod:
        return next(one for one in self.pods if one.metadata.name == name)

    @property
    def names(self) -> list[str]:
        return [one.metadata.name for one in self.pods]

    def images(self) -> dict[str, str]:
        return {one.metadata.name: one.spec.containers[0].image for one in self.pods}

    # Steps

    def plan(self, behind: int = 0, cut: int | None = None) -> int:
        """Plan and carry out; the view has seen what the last plan wrote, as a barrier sees to."""
        behind = min(behind, self.world.writes - self._own_writes)
        before = self.world.writes
        actions = list(self.planner.plan(self._ref, self.world.view(behind), self.world.now))
        for action in actions[:cut]:
            for look in self.watched:
                look(action)
            if not self.world.carry_out([action]):
                break
        if self.world.writes != before:
            self._own_writes = self.world.writes
        return self.world.writes - before

    def start(self) -> int:
        """Let the kubelet make one more pod ready, where its image is good."""
        for pod in self.pods:
            is_good = pod.spec.containers[0].image != BAD
            if is_good and not (is_ready(pod) or is_finished(pod) or pod.metadata.is_deleted):
                self.become(pod)
                return 1
        return 0

    def end(self, most: int = 1000) -> int:
        """Let the kubelet end pods that are asked to go."""
        going = [pod for pod in self.pods if pod.metadata.is_deleted][:most]
        for pod in going:
            self.world.remove(pod.ref)
        return len(going)

    def become(self, pod: Pod, *, is_ready: bool = True) -> None:
        condition = Condition(
            type="Ready",
            status="True" if is_ready else "False",
            last_transition_time=self.world.now,
        )
        spec = replaced(pod.spec, node_name=pod.spec.node_name or node_of(pod) or "n1")
        status = PodStatus(phase="Running", conditions=(condition,))
        self.world.put(replaced(pod, spec=spec, status=status))

    def fail(self, name: str) -> None:
        pod = self.pod(name)
        self.world.put(replaced(pod, status=PodStatus(phase="Failed")))

    def kill(self, place: int) -> None:
        """Take a pod away, as at the death of its node."""
        if pods := self.pods:
            self.world.remove(pods[place % len(pods)].ref)

    def change(self, **spec: object) -> None:
        """Change the spec as a user does."""
        one: Any = self.wanted
        meta = replaced(one.metadata, generation=one.metadata.generation + 1)
        self.world.put(replaced(one, metadata=meta, spec=replaced(one.spec, **spec)).defaulted())

    def set_image(self, image: str) -> None:
        self.change(template=a_template(containers=(a_container(image=image),)))

    def pass_s(self, seconds: float) -> None:
        self.world.now += timedelta(seconds=seconds)

    def settle(self) -> None:
        """Let everybody work until nothing changes any more."""
        for _ in range(ROUNDS_MAX):
            self.pass_s(1)
            # No shortcut: all of them work in each round.
            if not sum([self.plan(), self.start(), self.end(), self.plan()]):
                return
        raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {self.names}")
