"""What the laws of a simulated cluster call broken, and what they do not."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from apiserver.state.items import encoded
from apiserver.state.keys import key_of
from apiserver.storage.store import Delete, Op, Put
from controllers.jobs.cronjobs import job_made
from cubernetes.api.apps.deployment import RollingUpdateDeployment
from cubernetes.api.apps.replicaset import ReplicaSet
from cubernetes.api.condition import Condition
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.core.podstatus import PodStatus
from cubernetes.api.core.resourcequota import ResourceQuotaStatus
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from cubernetes.api.quantities import Quantity
from tests.simulation.judges.ledger import Ledger
from tests.simulation.workloads import CronPolicy, cron, quota, rolling, service, workload

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


class Told:
    """A ledger that is told of one commit after the other."""

    def __init__(self, *, is_fair: bool = False) -> None:
        self.now_s = 0.0
        self.ledger = Ledger(lambda: self.now_s)
        self.ledger.laws.is_fair = is_fair
        self._revision = 0

    def of(self, *objects: Object) -> list[str]:
        """Tell of a commit; return what is broken from then on."""
        return self._commit([Put(key(one), encoded(one)) for one in objects])

    def end(self, one: Object) -> list[str]:
        return self._commit([Delete(key(one))])

    def _commit(self, ops: list[Op]) -> list[str]:
        self._revision += 1
        before = len(self.ledger.broken)
        self.ledger.committed(ops, self._revision)
        return self.ledger.broken[before:]


def key(one: Object) -> str:
    return key_of(type(one), one.metadata.namespace, one.metadata.name)


def known[O: Object](one: O, uid: str, **meta: object) -> O:
    return replaced(one, metadata=replaced(one.metadata, uid=uid, **meta))


def a_pod(name: str, owner: OwnerReference, annotations: Mapping[str, str] | None = None) -> Pod:
    meta = ObjectMeta(
        name=name,
        namespace="default",
        uid=f"uid-{name}",
        owner_references=(owner,),
        annotations=annotations or {},
    )
    spec = PodSpec(containers=(Container(name="main", image="web:1"),), node_name="n1")
    ready = Condition(type="Ready", status="True", last_transition_time=NOON)
    return Pod(metadata=meta, spec=spec, status=PodStatus(phase="Running", conditions=(ready,)))


# Rollouts


def rolled(told: Told, replicas: int) -> tuple[ReplicaSet, list[Pod]]:
    """Tell of a Deployment of so many pods that serve, of which a quarter may be missing."""
    made = rolling(workload("web", "default", replicas, 1), "RollingUpdate")
    bounds = RollingUpdateDeployment(max_surge="25%", max_unavailable="25%")
    strategy = replaced(made.spec.strategy, rolling_update=bounds)
    deployment = known(replaced(made, spec=replaced(made.spec, strategy=strategy)), "d")
    own = known(
        workload("web", "default", replicas, 1),
        "r",
        generation=2,
        owner_references=(deployment.owner_reference(),),
    )
    pods = [a_pod(f"web-{number}", own.owner_reference()) for number in range(replicas)]
    assert told.of(deployment, own, *pods) == []
    return own, pods


def going(pod: Pod) -> Pod:
    return replaced(pod, metadata=replaced(pod.metadata, deletion_timestamp=NOON))


def test_a_rollout_may_take_what_its_bound_leaves_and_no_more() -> None:
    told = Told(is_fair=True)
    _, pods = rolled(told, 4)

    assert told.of(going(pods[0])) == []
    assert any("3 at least" in each for each in told.of(going(pods[1])))


def test_where_pods_are_taken_by_others_the_number_that_serves_is_not_judged() -> None:
    told = Told()
    _, pods = rolled(told, 4)

    assert told.of(*map(going, pods)) == []


def test_sets_that_want_too_few_are_told_wherever_they_are() -> None:
    told = Told()
    own, _ = rolled(told, 4)
    smaller = replaced(own, spec=replaced(own.spec, replicas=2))

    assert any("3 at least" in each for each in told.of(smaller))


def test_a_pod_that_moves_goes_only_when_as_many_as_wanted_serve_beside_it() -> None:
    told = Told(is_fair=True)
    _, pods = rolled(told, 4)
    marked = a_pod("web-0", pods[0].metadata.owner_references[0], {"cubernetes.io/moving-to": "n2"})
    assert told.of(marked) == []

    assert any("4 at least" in each for each in told.of(going(marked)))


# CronJobs


def due(policy: CronPolicy, minute: int, late_s: float = 1.0) -> Object:
    at = NOON + timedelta(minutes=minute)
    made = job_made(known(cron(workload("web", "default", 1, 1), policy), "c"), at)
    return known(made, f"j{minute}", creation_timestamp=at + timedelta(seconds=late_s))


@pytest.mark.parametrize(
    ("minutes", "words"),
    [((1, 2, 4), ""), ((1, 2, 1), "there was one"), ((4, 2), "there was one")],
)
def test_each_minute_has_one_job_and_time_does_not_go_back(
    minutes: tuple[int, ...], words: str
) -> None:
    told = Told()
    found: list[str] = []
    for minute in minutes:
        found += told.of(due("Allow", minute))
        told.end(due("Allow", minute))
    assert any(words in each for each in found) if words else found == []


def test_a_job_for_a_minute_long_ago_is_told() -> None:
    assert Told().of(due("Allow", 1, late_s=80)) == []
    assert any("made at" in each for each in Told().of(due("Allow", 1, late_s=200)))


@pytest.mark.parametrize(("policy", "is_broken"), [("Forbid", True), ("Allow", False)])
def test_what_is_forbidden_beside_another_is_told(policy: CronPolicy, is_broken: bool) -> None:
    told = Told()
    told.of(known(cron(workload("web", "default", 1, 1), policy), "c"))
    told.of(due(policy, 1))
    assert bool(told.of(due(policy, 2))) == is_broken


# Quotas


def charged(services: int, most: int) -> Object:
    made = known(quota("default", 10, most), "q")
    nothing = dict.fromkeys(made.spec.hard, Quantity("0"))
    used = {**nothing, "services": Quantity(str(services))}
    return replaced(made, status=ResourceQuotaStatus(hard=made.spec.hard, used=used))


def a_service(number: int) -> Object:
    return known(service(f"s{number}", "default"), f"s{number}")


def test_what_is_made_is_charged_in_the_same_commit_up_to_the_bound() -> None:
    told = Told()
    told.of(charged(0, 2))
    told.now_s = 100.0
    assert told.of(charged(1, 2), a_service(1)) == []
    assert told.of(charged(2, 2), a_service(2)) == []
    assert any("charged 3" in each for each in told.of(charged(3, 2), a_service(3)))


def test_what_is_made_without_a_charge_is_told_once_every_server_knows_the_quota() -> None:
    told = Told()
    told.of(charged(0, 2))
    assert told.of(a_service(1)) == []
    told.now_s = 100.0
    assert any("is not charged" in each for each in told.of(a_service(2)))


def test_a_charge_for_what_is_not_there_is_a_leak() -> None:
    told = Told()
    told.of(charged(0, 2))
    told.of(charged(1, 2), a_service(1))
    assert list(told.ledger.laws.leaks()) == []
    told.end(a_service(1))
    assert any("few counts" in each for each in told.ledger.laws.leaks())


# Names


def test_one_name_runs_once_unless_its_pod_was_let_go_by_force() -> None:
    told = Told()
    owner = OwnerReference(
        api_version="apps/v1", kind="StatefulSet", name="db", uid="d", controller=True
    )
    first, second = a_pod("db-0", owner), known(a_pod("db-0", owner), "uid-other")
    told.of(first)
    told.of(second)
    laws, running = told.ledger.laws, [("uid-db-0", "n1"), ("uid-other", "n2")]

    assert list(laws.impostors(running[:1])) == []
    assert any("db-0 runs on n2" in each for each in laws.impostors(running))
    laws.forced.add("uid-db-0")
    assert list(laws.impostors(running)) == []
