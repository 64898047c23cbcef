"""Strategies: what one kind asks for beyond the verbs, asked without a server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from apiserver.settings import Settings
from apiserver.state.keys import CLUSTER_IPS
from apiserver.storage.store import Delete, Entry, Put
from apiserver.strategies.named import Named
from apiserver.strategies.namespace import Namespaces
from apiserver.strategies.node import Nodes
from apiserver.strategies.pod import Pods
from apiserver.strategies.registry import strategy_of
from apiserver.strategies.service import Services
from apiserver.strategies.strategy import Claimed, Strategy
from cubernetes.api.apps.replicaset import ReplicaSet, ReplicaSetStatus
from cubernetes.api.core.node import Node
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service
from cubernetes.api.discovery.endpointslice import EndpointSlice
from cubernetes.api.errors import Forbidden, Invalid
from cubernetes.api.meta import Object, replaced
from cubernetes.host.web.messages import Identity
from tests.given import a_namespace, a_node, a_pod, a_replicaset, a_service

ADMIN = Identity("kubernetes-admin", ("system:masters",))
RANGE = "10.96.0.0/28"


@dataclass
class Cluster:
    """Memory as a strategy sees it; what the store knows beyond it comes with `caught_up`."""

    plain: dict[str, Entry] = field(default_factory=dict)
    stored: Mapping[str, Entry] = field(default_factory=dict)
    settings: Settings = field(default_factory=lambda: Settings(service_range=RANGE))
    questions: int = 0
    nodes: tuple[Node, ...] = ()

    def objects(self, kind: type[Object]) -> Iterable[Object]:
        return self.nodes if kind is Node else ()

    def within(self, kind: type[Object], namespace: str) -> Iterable[Object]:
        return [one for one in self.objects(kind) if one.metadata.namespace == namespace]

    def find[K: Object](self, kind: type[K], name: str, namespace: str = "") -> K | None:
        found = (one for one in self.objects(kind) if one.metadata.name == name)
        return cast(K, next(found, None))

    def fraction(self) -> float:
        return 0.0

    async def caught_up(self) -> int:
        self.questions += 1
        self.plain = {**self.plain, **self.stored}
        return 1


def claims(*addresses: str) -> dict[str, Entry]:
    keys = [CLUSTER_IPS + address for address in addresses]
    return {key: Entry(key, b"service default/other", 1) for key in keys}


def addresses(first: int, last: int) -> list[str]:
    return [f"10.96.0.{number}" for number in range(first, last + 1)]


def test_a_kind_without_a_strategy_of_its_own_has_the_answers_of_most_kinds() -> None:
    strategy = strategy_of(ReplicaSet)
    old, new = a_replicaset(), a_replicaset()
    old = replaced(old, status=ReplicaSetStatus(replicas=3))

    assert strategy.prepared(old).status == ReplicaSetStatus()
    assert strategy.updated(old, new).status == old.status
    assert list(strategy.update_problems(old, new)) == []
    assert strategy.keys_beside("web", new) == ()
    assert strategy.released(old) == strategy.deletion(ADMIN, old, {}) == ()
    assert strategy.grace_s(old, 30) == strategy.vital_bytes_max("kube-system") == 0
    assert not strategy.is_held(old)
    assert strategy.node_of(old) == strategy.deletion_refusal("web") == ""


KUBELET = Identity("system:node:n1", ("system:nodes",))


def report(address: str, *nodes: Node, by: Identity = KUBELET, before: str = "") -> None:
    old, new = (a_pod("web", node="n1", ip=one) for one in (before, address))
    Pods().check_change(Cluster(nodes=nodes), by, old, new, {})


def test_a_node_gives_its_pods_addresses_of_its_own_range_or_its_own() -> None:
    node = a_node("n1", pod_cidr="10.244.3.0/24", address="192.168.1.1")
    report("10.244.3.7", node)
    report("192.168.1.1", node)
    report("", node, before="10.244.0.7")
    report("10.244.0.7", node, before="10.244.0.7")
    report("10.244.0.7", node, by=ADMIN)

    for address in ("10.244.0.7", "192.168.1.2", "fd00::1", "no address"):
        with pytest.raises(Forbidden, match=f"may not give {address} to a pod: .* 10.244.3.0/24"):
            report(address, node)


def test_a_node_that_came_back_gives_no_address_before_it_has_a_range() -> None:
    other = a_node("n2", pod_cidr="10.244.0.0/24")
    for nodes in ((a_node("n1", pod_cidr=""), other), (other,)):
        with pytest.raises(Forbidden, match="its range is none"):
            report("10.244.0.7", *nodes)


async def test_what_a_service_claims_is_what_it_gives_back() -> None:
    service = await Services().allocated(Cluster(), a_service(cluster_ip=""), {})
    keys = Services().keys_beside("web", service)
    made, ops = Services().creation(Cluster(), ADMIN, service, dict.fromkeys(keys))

    assert made is service
    assert ops == (Put(CLUSTER_IPS + service.spec.cluster_ip, b"service default/web"),)
    assert keys == tuple(op.key for op in ops)
    assert Services().released(service) == tuple(Delete(key) for key in keys)


async def test_an_address_that_another_got_meanwhile_is_not_chosen_again() -> None:
    first = await Services().allocated(Cluster(), a_service(cluster_ip=""), {})
    key = CLUSTER_IPS + first.spec.cluster_ip
    with pytest.raises(Claimed) as claimed:
        Services().creation(Cluster(), ADMIN, first, claims(first.spec.cluster_ip))
    taken = {claimed.value.key: claimed.value.holder}
    second = await Services().allocated(Cluster(), a_service(cluster_ip=""), taken)

    assert taken == {key: "service default/other"}
    assert second.spec.cluster_ip not in ("", first.spec.cluster_ip)


async def test_a_chosen_address_that_another_got_meanwhile_is_refused_with_its_holder() -> None:
    service = a_service(cluster_ip="10.96.0.9")
    assert await Services().allocated(Cluster(), service, {}) is service

    with pytest.raises(Invalid, match="belongs to service default/other") as refusal:
        await Services().allocated(
            Cluster(), service, {CLUSTER_IPS + "10.96.0.9": "service default/other"}
        )
    assert [problem.field for problem in refusal.value.problems] == ["spec.clusterIP"]


async def test_a_range_is_full_only_by_the_store() -> None:
    almost, last = claims(*addresses(2, 13)), claims("10.96.0.14")
    full = Cluster(plain=almost | last, stored={})
    with pytest.raises(Invalid, match=f"the service range {RANGE} is full"):
        await Services().allocated(full, a_service(cluster_ip=""), {})
    assert full.questions == 1

    one_left = Cluster(plain=almost, stored=last)
    found = await Services().allocated(one_left, a_service(cluster_ip=""), {})
    assert (found.spec.cluster_ip, one_left.questions) == ("10.96.0.14", 0)


def test_a_headless_service_claims_nothing() -> None:
    service = a_service(cluster_ip="None")

    assert Services().keys_beside("web", service) == ()
    assert Services().released(service) == ()


def test_an_address_that_an_update_leaves_out_is_kept() -> None:
    old = a_service(cluster_ip="10.96.0.9")

    assert Services().updated(old, a_service(cluster_ip="")).spec.cluster_ip == "10.96.0.9"
    assert Services().updated(old, a_service(cluster_ip="10.96.0.8")).spec.cluster_ip == "10.96.0.8"


@pytest.mark.parametrize(
    ("node", "phase", "asked_s", "grace_s"),
    [
        ("n1", "Running", None, 7),
        ("n1", "Running", 2, 2),
        ("n1", "Running", 0, 0),
        ("", "Pending", None, 0),
        ("", "Pending", 9, 0),
        ("n1", "Succeeded", 9, 0),
    ],
)
def test_a_pod_is_given_time_while_there_is_something_to_stop(
    node: str, phase: str, asked_s: int | None, grace_s: int
) -> None:
    pod = a_pod(node=node, phase=phase)  # type: ignore[arg-type]  # a phase
    pod = replaced(pod, spec=replaced(pod.spec, termination_grace_period_seconds=7))

    assert Pods().grace_s(pod, asked_s) == grace_s
    assert Pods().node_of(pod) == node


def test_a_namespace_is_held_until_its_spec_has_no_finalizer() -> None:
    made = Namespaces().prepared(a_namespace("team"))
    terminating = Namespaces().terminating(made)
    empty = replaced(terminating, spec=replaced(made.spec, finalizers=()))

    assert made.metadata.labels["kubernetes.io/metadata.name"] == "team"
    assert (made.status.phase, terminating.status.phase) == ("Active", "Terminating")
    assert Namespaces().is_held(terminating)
    assert not Namespaces().is_held(empty)
    # Through the main resource the finalizers are not written.
    assert Namespaces().updated(made, empty).spec == made.spec


def test_the_servers_own_namespaces_are_not_deleted() -> None:
    refused = {"default", "kube-system", "kube-node-lease", "cube-road-lease"}

    assert all(Namespaces().deletion_refusal(name) for name in refused)
    assert Namespaces().deletion_refusal("team") == ""


def test_a_node_begins_with_the_status_that_its_kubelet_found() -> None:
    node = a_node("n1")

    assert Nodes().prepared(node) == node
    assert Nodes().keys_beside("n1") == ("/cubernetes/members/n1",)


def test_the_registry_gives_each_kind_its_own() -> None:
    assert isinstance(strategy_of(Service), Services)
    assert type(strategy_of(Secret)) is Named
    assert type(strategy_of(EndpointSlice)) is Strategy
