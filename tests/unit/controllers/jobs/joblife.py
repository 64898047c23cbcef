"""A Job's life without a cluster: its planner, a kubelet of a few lines, and a user."""

from collections.abc import Sequence
from datetime import timedelta

from controllers.jobs.jobs import Jobs
from controllers.jobs.pods import index_of, is_tracked
from cubernetes.api.batch.job import Job, is_over
from cubernetes.api.condition import condition_of
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.podstatus import (
    ContainerState,
    ContainerStatus,
    Phase,
    PodStatus,
    StateTerminated,
)
from cubernetes.api.meta import Object, Ref, replaced
from cubernetes.reconcile.plan import StillView
from tests.carry import World
from tests.given import a_job

ROUNDS_MAX = 300


class SplitView(StillView):
    """A view of Jobs and one of pods, each as of a moment of its own."""

    def __init__(self, jobs: StillView, pods: StillView) -> None:
        mixed = [*jobs.list(Job), *pods.list(Pod)]
        super().__init__(mixed, as_of=min(jobs.as_of, pods.as_of))
        object.__setattr__(self, "_revisions", {Job: jobs.as_of, Pod: pods.as_of})

    def revision(self, kind: type[Object]) -> int:
        return int(self._revisions[kind])  # type: ignore[attr-defined]


class JobLife:
    """A world with one Job; each method is one step of somebody in it.

    ended: how each pod ended that did so by itself, by uid: true for a success.
    """

    def __init__(self, wanted: Job | None = None, **spec: object) -> None:
        self.world = World([wanted or a_job(**spec)])  # type: ignore[arg-type]
        self.planner = Jobs()
        self.ended: dict[str, bool] = {}

    @property
    def job(self) -> Job:
        (one,) = self.world.all(Job)
        return one

    @property
    def ref(self) -> Ref:
        return Ref("Job", "default", "work")

    def pods(self) -> Sequence[Pod]:
        return self.world.all(Pod)

    def running(self) -> list[Pod]:
        return [one for one in self.pods() if not is_finished(one)]

    # Steps

    def plan(self, jobs_behind: int = 0, pods_behind: int = 0, cut: int | None = None) -> int:
        """Plan every key and carry it out; return how many writes that made."""
        before = self.world.writes
        view = SplitView(self.world.view(jobs_behind), self.world.view(pods_behind))
        for key in sorted({*self.world.keys(self.planner), self.ref}):
            self.world.carry_out(self.planner.plan(key, view, self.world.now), cut)
        return self.world.writes - before

    def settle(self) -> None:
        """Let the planner work until nothing changes; nobody else does anything."""
        for _ in range(ROUNDS_MAX):
            if not self.plan():
                return
        raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {self.job.status}")

    def finish(self, pod: Pod, *, is_success: bool, code: int = 1) -> None:
        """Let a pod end by itself."""
        phase: Phase = "Succeeded" if is_success else "Failed"
        state = ContainerState(
            terminated=StateTerminated(
                exit_code=0 if is_success else code, finished_at=self.world.now
            )
        )
        statuses = (ContainerStatus(name="main", state=state),)
        spec = replaced(pod.spec, node_name="n1")
        status = PodStatus(phase=phase, container_statuses=statuses)
        self.world.put(replaced(pod, spec=spec, status=status))
        self.ended[pod.metadata.uid] = is_success

    def finish_index(self, index: int, *, is_success: bool, code: int = 1) -> None:
        """Let the pod of an index end by itself."""
        (pod,) = [one for one in self.running() if index_of(one) == index]
        self.finish(pod, is_success=is_success, code=code)

    def finish_one(self, *, is_success: bool) -> None:
        pod = next(one for one in self.running() if not one.metadata.is_deleted)
        self.finish(pod, is_success=is_success)

    def start_all(self) -> None:
        for pod in self.running():
            if not pod.spec.node_name:
                spec = replaced(pod.spec, node_name="n1")
                self.world.put(replaced(pod, spec=spec, status=PodStatus(phase="Running")))

    def delete(self, pod: Pod) -> None:
        """Ask a pod to end, as a user does."""
        finalizers, is_bound = pod.metadata.finalizers, bool(pod.spec.node_name)
        if not finalizers and (not is_bound or is_finished(pod)):
            self.world.remove(pod.ref)
            return
        meta = replaced(
            pod.metadata,
            deletion_timestamp=pod.metadata.deletion_timestamp or self.world.now,
            deletion_grace_period_seconds=30 if is_bound and not is_finished(pod) else 0,
        )
        self.world.put(replaced(pod, metadata=meta))

    def let_go(self) -> int:
        """Let the kubelet end what is asked to; return how many pods that were."""
        going = [one for one in self.pods() if one.metadata.deletion_grace_period_seconds]
        for pod in going:
            if is_tracked(pod):
                meta = replaced(pod.metadata, deletion_grace_period_seconds=0)
                self.world.put(replaced(pod, metadata=meta))
            else:
                self.world.remove(pod.ref)
        return len(going)

    def change(self, **spec: object) -> None:
        """Change the spec as a user does."""
        one = self.job
        meta = replaced(one.metadata, generation=one.metadata.generation + 1)
        self.world.put(replaced(one, metadata=meta, spec=replaced(one.spec, **spec)))

    def pass_s(self, seconds: float) -> None:
        self.world.now += timedelta(seconds=seconds)

    def end_well(self) -> None:
        """Let every pod succeed, until the Job is over."""
        for _ in range(ROUNDS_MAX):
            self.settle()
            if is_over(self.job):
                return
            self.pass_s(400)
            self.let_go()
            for pod in self.running():
                if not pod.metadata.is_deleted:
                    self.finish(pod, is_success=True)
        raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {self.job.status}")


def told(life: JobLife) -> dict[str, tuple[str, str]]:
    """Return each condition of the Job: its status and its reason."""
    return {one.type: (one.status, one.reason) for one in life.job.status.conditions}


def message(life: JobLife, kind: str) -> str:
    found = condition_of(life.job.status.conditions, kind)
    return found.message if found is not None else ""


def counts(life: JobLife) -> tuple[int, int]:
    return life.job.status.succeeded, life.job.status.failed
