"""A Deployment's life without a cluster: both planners, a kubelet of a few lines, and a user."""

from datetime import timedelta

from controllers.deployments.deployments import Deployments
from controllers.deployments.rollout import Rollout, rollout_of
from controllers.replicaset import ReplicaSets
from cubernetes.api.apps.deployment import Deployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import Pod, is_finished, is_ready
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.meta import Object, replaced
from tests.carry import World
from tests.given import AN_HOUR_AGO, a_container, a_deployment, a_template

ROUNDS_MAX = 200
REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
GOES_BACK = {"cubernetes.io/auto-rollback": "true"}
BAD = "bad"  # an image whose pods never become ready


class Life:
    """A world with one Deployment; each method is one step of somebody in it."""

    def __init__(self, wanted: Deployment, *more: Object) -> None:
        self.world = World([wanted, *more])
        self.deployments, self.replicasets = Deployments(), ReplicaSets()
        self._own_writes = self.world.writes
        # Whether a pod becomes ready at all.
        self.is_good = True

    @property
    def wanted(self) -> Deployment:
        (one,) = self.world.all(Deployment)
        return one

    @property
    def sets(self) -> list[ReplicaSet]:
        """Return its ReplicaSets, the oldest revision first."""
        listed = self.world.all(ReplicaSet)
        return sorted(listed, key=lambda one: int(one.metadata.annotations.get(REVISION, "0")))

    @property
    def rollout(self) -> Rollout:
        return rollout_of(self.wanted, self.world.all(ReplicaSet))

    def pods(self, owner: ReplicaSet | None = None) -> list[Pod]:
        """Return the pods that live, of one ReplicaSet or of all."""
        return [
            pod
            for pod in self.world.all(Pod)
            if not pod.metadata.is_deleted and not is_finished(pod)
            if owner is None or pod.metadata.controller == owner.owner_reference()
        ]

    def sizes(self) -> list[int]:
        return [one.spec.replicas for one in self.sets]

    def kept_available(self) -> int:
        """Return how many pods serve, and stay when every ReplicaSet has its size."""
        return sum(
            min(one.spec.replicas, sum(is_ready(pod) for pod in self.pods(one)))
            for one in self.sets
        )

    # Steps

    def roll(self, behind: int = 0, cut: int | None = None) -> int:
        """Plan the Deployment; the view has seen what the last plan wrote, as a barrier sees to."""
        behind = min(behind, self.world.writes - self._own_writes)
        view = self.world.view(behind)
        actions = self.deployments.plan(self.wanted.ref, view, self.world.now)
        before = self.world.writes
        self.world.carry_out(actions, cut)
        if self.world.writes != before:
            self._own_writes = self.world.writes
        return self.world.writes - before

    def count(self) -> int:
        """Let every ReplicaSet make and end pods, and tell of them."""
        before = self.world.writes
        for key in self.world.keys(self.replicasets):
            self.world.carry_out(self.replicasets.plan(key, self.world.view(), self.world.now))
        return self.world.writes - before

    def start(self) -> int:
        """Let the kubelet make one more pod ready, where its image is good."""
        for pod in self.pods():
            is_good = self.is_good and pod.spec.containers[0].image != BAD
            if not is_ready(pod) and is_good:
                self.become_ready(pod)
                return 1
        return 0

    def end(self) -> int:
        """Let the kubelet end what is asked to go."""
        going = [pod for pod in self.world.all(Pod) if pod.metadata.is_deleted]
        for pod in going:
            self.world.remove(pod.ref)
        return len(going)

    def kill(self, place: int) -> None:
        """Take a pod away, as at the death of its node."""
        if pods := self.pods():
            self.world.remove(pods[place % len(pods)].ref)

    def change(self, **spec: object) -> None:
        """Change the spec as a user does."""
        one = self.wanted
        meta = replaced(one.metadata, generation=one.metadata.generation + 1)
        self.world.put(replaced(one, metadata=meta, spec=replaced(one.spec, **spec)))

    def set_image(self, image: str) -> None:
        self.change(template=a_template(containers=(a_container(image=image),)))

    def pass_s(self, seconds: float) -> None:
        self.world.now += timedelta(seconds=seconds)

    def settle(self) -> None:
        """Let everybody work until nothing changes any more."""
        for _ in range(ROUNDS_MAX):
            self.pass_s(1)
            # No shortcut: all of them work in each round.
            if not sum([self.roll(), self.count(), self.start(), self.end(), self.count()]):
                return
        raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {self.sizes()}")

    def become_ready(self, pod: Pod) -> None:
        condition = Condition(type="Ready", status="True", last_transition_time=AN_HOUR_AGO)
        status = PodStatus(phase="Running", conditions=(condition,))
        spec = replaced(pod.spec, node_name=pod.spec.node_name or "n1")
        self.world.put(replaced(pod, spec=spec, status=status))


def settled(**fields: object) -> Life:
    life = Life(a_deployment(**{"replicas": 3, **fields}))  # type: ignore[arg-type]
    life.settle()
    return life


def condition(life: Life, kind: str = "Progressing") -> tuple[str, str]:
    found = next(one for one in life.wanted.status.conditions if one.type == kind)
    return found.status, found.reason


def revisions(life: Life) -> list[int]:
    return [int(one.metadata.annotations[REVISION]) for one in life.sets]


def image(one: ReplicaSet | Deployment) -> str:
    return one.spec.template.spec.containers[0].image
