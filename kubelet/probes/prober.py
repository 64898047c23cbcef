"""One prober for all pods of a node: what is due is asked, so many at a time; verdicts wake pods.

Between questions a probe costs an entry of a heap, no task. The worker of a pod says in each round
which containers run (`follow`) and is told their health; it is woken when a verdict changes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container as Wanted
from cubernetes.api.core.podspec.probes.actions import ExecAction
from cubernetes.api.core.podspec.probes.probe import Probe
from cubernetes.api.core.podspec.spec import lasting_containers
from cubernetes.api.core.podstatus import ContainerStatus
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.timing.waiting import wait_until
from kubelet.probes.driver import Answer, Asker, Question, Unanswered, action_of
from kubelet.probes.machine import Health, Kind, first_due_s, first_health, probes_of
from kubelet.probes.schedule import Schedule
from kubelet.runtime.driver import Container, State

log = Log(__name__)

# A command costs the runtime a process and several calls; a connection costs next to nothing.
COMMANDS_AT_ONCE_MAX = 16
CONNECTIONS_AT_ONCE_MAX = 128


class Key(NamedTuple):
    container_id: str
    kind: Kind


@dataclass(slots=True)
class Ward:
    """A container that is asked, and what its answers have come to.

    armed: probes that are in the schedule, wait for their turn, or are out.
    """

    pod: Pod
    wanted: Wanted
    found: Container
    address: str
    health: Health
    armed: set[Kind] = field(default_factory=set)

    def is_asked(self, kind: Kind) -> bool:
        return kind in set(self.health.asked(is_ending=self.pod.metadata.is_deleted))


@dataclass(slots=True)
class Lane:
    """Questions of one price: what waits, and how many more may be out."""

    free_count: int
    waiting: deque[Key] = field(default_factory=deque)


class Prober:
    """Asks the containers that run. on_verdict: told the uid of a pod whose health has changed.

    tell: records a warning: of which pod and container, its reason and its message.
    """

    def __init__(
        self,
        env: Env,
        asker: Asker,
        tell: Callable[[Pod, str, str, str], None],
        on_verdict: Callable[[str], None],
    ) -> None:
        self._env, self._asker = env, asker
        self._tell, self._on_verdict = tell, on_verdict
        self._began_at = env.clock.now()
        self._wards: dict[str, Ward] = {}
        self._ids: dict[str, frozenset[str]] = {}  # by pod uid
        self._schedule: Schedule[Key] = Schedule()
        self._changed = asyncio.Event()
        self._lanes = _fresh_lanes()
        self._answers = env.metrics.counter(
            "cube_kubelet_probe_answers_total", "Answers to probes, by kind and result.",
            "kind", "result",
        )  # fmt: skip

    def follow(self, pod: Pod, found: Sequence[Container], address: str) -> Mapping[str, Health]:
        """Ask those of the pod's containers that run; return what is known, by container id."""
        wanted = {one.name: one for one in lasting_containers(pod.spec)}
        running = {
            one.id: one
            for one in found
            if one.state is State.RUNNING and one.name in wanted and probes_of(wanted[one.name])
        }
        self._keep(pod.metadata.uid, frozenset(running))
        for container_id, one in running.items():
            ward = self._wards.get(container_id)
            if ward is None:
                ward = self._taken_on(pod, wanted[one.name], one, address)
                self._wards[container_id] = ward
            ward.pod, ward.address = pod, address
            self._arm(ward)
        return {container_id: self._wards[container_id].health for container_id in running}

    def forget(self, uid: str) -> None:
        """Ask nothing of a pod any more."""
        self._keep(uid, frozenset())

    async def run(self) -> None:
        """Ask what is due, for ever."""
        self._resume()
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                now_s = self._env.clock.monotonic()
                for key in self._schedule.take_due(now_s):
                    self._lane_of(key).waiting.append(key)
                for lane in self._lanes.values():
                    while lane.free_count and lane.waiting:
                        self._begin(lane, lane.waiting.popleft(), group)
                due_at_s = self._schedule.next_at_s()
                await wait_until(
                    self._changed, None if due_at_s is None else max(0.0, due_at_s - now_s)
                )

    def _keep(self, uid: str, ids: frozenset[str]) -> None:
        for gone in self._ids.get(uid, frozenset()) - ids:
            del self._wards[gone]
            for kind in Kind:
                self._schedule.drop(Key(gone, kind))
        if ids:
            self._ids[uid] = ids
        else:
            self._ids.pop(uid, None)

    def _taken_on(self, pod: Pod, wanted: Wanted, found: Container, address: str) -> Ward:
        told = _told_of(pod, found)
        was_started, was_ready = (told.started, told.ready) if told is not None else (False, False)
        health = first_health(wanted, was_started=was_started, was_ready=was_ready)
        return Ward(pod, wanted, found, address, health)

    def _arm(self, ward: Ward) -> None:
        """Put what is to be asked into the schedule, where it is not; take out what is not."""
        now_s = self._env.clock.monotonic()
        for kind, probe in probes_of(ward.wanted).items():
            key = Key(ward.found.id, kind)
            if not ward.is_asked(kind):
                self._schedule.drop(key)
            elif kind not in ward.armed:
                self._put(key, now_s + self._first_due_s(ward, probe))
                ward.armed.add(kind)

    def _first_due_s(self, ward: Ward, probe: Probe) -> float:
        """As Kubernetes, the first runs are spread over a period only where the kubelet is new."""
        started_at, now = ward.found.started_at, self._env.clock.now()
        ran_s = max(0.0, (now - started_at).total_seconds()) if started_at is not None else 0.0
        is_older = started_at is not None and started_at < self._began_at
        jitter_s = self._env.rng.fraction() * probe.period_seconds if is_older else 0.0
        return first_due_s(probe, ran_s, jitter_s)

    def _put(self, key: Key, due_at_s: float) -> None:
        self._schedule.put(key, due_at_s)
        self._changed.set()

    def _resume(self) -> None:
        """Begin again after an end of `run`: nothing is out, and everything is armed anew."""
        self._lanes = _fresh_lanes()
        for ward in self._wards.values():
            ward.armed.clear()
            self._arm(ward)

    def _lane_of(self, key: Key) -> Lane:
        ward = self._wards.get(key.container_id)
        probe = probes_of(ward.wanted).get(key.kind) if ward is not None else None
        return self._lanes[probe is not None and isinstance(action_of(probe), ExecAction)]

    def _begin(self, lane: Lane, key: Key, group: asyncio.TaskGroup) -> None:
        ward = self._wards.get(key.container_id)
        if ward is None or not ward.is_asked(key.kind):
            return
        lane.free_count -= 1
        group.create_task(self._ask(lane, key, ward))

    async def _ask(self, lane: Lane, key: Key, ward: Ward) -> None:
        probe = probes_of(ward.wanted)[key.kind]
        began_s = self._env.clock.monotonic()
        try:
            answer = await self._asker.ask(_question(ward, probe))
        except Unanswered as why:
            log.debug("probe not asked", pod=ward.pod.ref, kind=key.kind.value, why=why)
        else:
            if self._wards.get(key.container_id) is ward:
                self._take(ward, key.kind, probe, answer)
        finally:
            lane.free_count += 1
            self._changed.set()
        if self._wards.get(key.container_id) is ward and ward.is_asked(key.kind):
            now_s = self._env.clock.monotonic()
            self._put(key, max(now_s, began_s + probe.period_seconds))

    def _take(self, ward: Ward, kind: Kind, probe: Probe, answer: Answer) -> None:
        if not ward.is_asked(kind):
            return
        before = ward.health
        ward.health = before.answered(kind, probe, is_success=answer.is_success)
        self._answers.labels(kind.value, "success" if answer.is_success else "failure").inc()
        name = ward.wanted.name
        if not answer.is_success:
            self._tell(ward.pod, name, "Unhealthy", f"{kind.value} probe failed: {answer.told}")
        elif answer.told and not isinstance(action_of(probe), ExecAction):
            self._tell(ward.pod, name, "ProbeWarning", f"{kind.value} probe warning: {answer.told}")
        if _verdicts(before) != _verdicts(ward.health):
            self._arm(ward)
            self._on_verdict(ward.pod.metadata.uid)


def _fresh_lanes() -> dict[bool, Lane]:
    """The lane of commands, and that of everything else."""
    return {True: Lane(COMMANDS_AT_ONCE_MAX), False: Lane(CONNECTIONS_AT_ONCE_MAX)}


def _verdicts(health: Health) -> tuple[bool, bool, Kind | None]:
    return health.is_started, health.is_ready, health.failed


def _question(ward: Ward, probe: Probe) -> Question:
    action = action_of(probe)
    if action is None:
        raise Unanswered("the probe says no way to ask")
    return Question(
        pod_name=ward.pod.metadata.name,
        container_id=ward.found.id,
        wanted=ward.wanted,
        address=ward.address,
        action=action,
        timeout_s=float(probe.timeout_seconds),
    )


def _told_of(pod: Pod, found: Container) -> ContainerStatus | None:
    """Return what the API says of this very container."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return next((one for one in statuses if one.container_id.endswith(f"//{found.id}")), None)
