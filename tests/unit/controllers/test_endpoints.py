"""Endpoints: who is behind a service, in as few writes as possible."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.endpoints import Endpoints
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort
from cubernetes.api.core.service import ServicePort
from cubernetes.api.discovery.endpointslice import ENDPOINT_MAX, EndpointSlice
from cubernetes.api.meta import replaced
from cubernetes.api.names import LABEL_COUNT_MAX
from tests.carry import World
from tests.given import (
    NOW,
    a_condition,
    a_container,
    a_node,
    a_pod,
    a_running_pod,
    a_service,
    a_slice,
)

ROUNDS = 1
WEB = a_service("web")


def ready_addresses(world: World) -> list[str]:
    return sorted(
        address
        for one in world.all(EndpointSlice)
        for endpoint in one.endpoints
        if endpoint.conditions.ready
        for address in endpoint.addresses
    )


def listening(name: str, ip: str, port: int, port_name: str = "http") -> Pod:
    ports = [ContainerPort(container_port=port, name=port_name)]
    return a_pod(
        name, node="n1", phase="Running", is_ready=True, ip=ip,
        containers=[a_container(ports=ports)],
    )  # fmt: skip


@st.composite
def pods(draw: st.DrawFn) -> Sequence[Pod]:
    return [
        a_pod(
            f"web-{place}",
            node=draw(st.sampled_from(["n1", "n2", "gone"])),
            phase=draw(st.sampled_from(["Pending", "Running", "Failed"])),
            is_ready=draw(st.booleans()),
            ip=draw(st.sampled_from(["", f"10.244.1.{place}", f"10.244.2.{place}"])),
            labels=draw(st.sampled_from([{"app": "web"}, {"app": "old"}])),
            deleted_at=draw(st.sampled_from([None, None, NOW])),
        )
        for place in range(draw(st.integers(0, 12)))
    ]


NODES = (a_node("n1"), a_node("n2", conditions=[a_condition("Ready", "Unknown")]))


def expected(found: Sequence[Pod]) -> list[str]:
    return sorted(
        pod.status.pod_ip
        for pod in found
        if pod.status.pod_ip
        and pod.status.phase != "Failed"
        and pod.metadata.labels == {"app": "web"}
        and pod.metadata.deletion_timestamp is None
        and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions)
        and pod.spec.node_name != "n2"
    )


@given(pods(), pods())
def test_one_round_leaves_exactly_the_ready_pods_whatever_was_there_before(
    before: Sequence[Pod], after: Sequence[Pod]
) -> None:
    world = World([WEB, *NODES, *before])
    world.settle(Endpoints(), ROUNDS)
    for pod in before:
        world.remove(pod.ref)
    for pod in after:
        world.put(pod)
    world.settle(Endpoints(), ROUNDS)

    assert ready_addresses(world) == expected(after)


@given(pods(), pods(), st.lists(st.integers(0, 2), max_size=4), st.integers(0, 12))
def test_a_plan_cut_anywhere_or_made_on_an_old_view_ends_the_same(
    before: Sequence[Pod], after: Sequence[Pod], cuts: list[int], behind: int
) -> None:
    world = World([WEB, *NODES, *before])
    world.settle(Endpoints(), ROUNDS)
    for pod in after:
        world.put(pod)
    for cut in cuts:
        world.carry_out(Endpoints().plan(WEB.ref, world.view(behind), NOW), cut)
    world.settle(Endpoints(), 2)

    assert ready_addresses(world) == expected(world.all(Pod))


@given(pods(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(found: Sequence[Pod], chance: st.DataObject) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    plans = [World([WEB, *NODES, *order]).plan(Endpoints(), WEB.ref) for order in (found, shuffled)]

    assert str(plans[0]) == str(plans[1])


def test_w13_a_pod_that_is_deleted_leaves_at_once_and_the_last_one_leaves_an_empty_slice() -> None:
    world = World([WEB, a_running_pod("web-0", ip="10.244.1.2")])
    world.settle(Endpoints(), ROUNDS)
    assert ready_addresses(world) == ["10.244.1.2"]

    world.put(replaced(a_running_pod("web-0"), metadata=a_pod("web-0", deleted_at=NOW).metadata))
    world.settle(Endpoints(), ROUNDS)
    (endpoint,) = world.all(EndpointSlice)[0].endpoints
    told = endpoint.conditions
    assert (told.ready, told.serving, told.terminating) == (False, True, True)

    world.remove(a_pod("web-0").ref)
    world.settle(Endpoints(), ROUNDS)
    (left,) = world.all(EndpointSlice)
    assert (left.endpoints, left.ports) == ((), ())


def test_w13_a_pod_whose_label_moved_away_leaves_and_its_old_service_hears_of_it() -> None:
    old = a_running_pod("web-0")
    moved = replaced(old, metadata=replaced(old.metadata, labels={"app": "debug"}))
    world = World([WEB, old])
    world.settle(Endpoints(), ROUNDS)

    world.put(moved)

    assert list(Endpoints().keys(old, world.view())) == [WEB.ref]
    assert list(Endpoints().keys(moved, world.view())) == []
    world.settle(Endpoints(), ROUNDS)
    assert ready_addresses(world) == []


def test_w14_pods_of_a_silent_node_leave_at_once() -> None:
    world = World([WEB, a_node("n1"), a_running_pod("web-0")])
    world.settle(Endpoints(), ROUNDS)

    silent = a_node("n1", conditions=[a_condition("Ready", "Unknown")])
    world.put(silent)

    assert list(Endpoints().keys(silent, world.view())) == [WEB.ref]
    assert list(Endpoints().keys(a_node("n1"), world.view())) == []
    world.settle(Endpoints(), ROUNDS)
    assert ready_addresses(world) == []


def test_a_node_whose_kubelet_says_not_ready_keeps_its_endpoints() -> None:
    """A kubelet that lives speaks for each of its pods: a Docker restart is no outage of theirs."""
    world = World([WEB, a_node("n1", is_ready=False), a_running_pod("web-0")])

    world.settle(Endpoints(), ROUNDS)

    assert ready_addresses(world) == ["10.244.1.2"]


def test_w27_an_address_stands_once_however_often_it_is_planned() -> None:
    world = World([WEB, a_running_pod("web-0")])
    for behind in (0, 5, 1, 0):
        world.carry_out(Endpoints().plan(WEB.ref, world.view(behind), NOW))

    assert ready_addresses(world) == ["10.244.1.2"]
    assert world.plan(Endpoints(), WEB.ref) == []


def test_a_pod_that_comes_back_with_a_new_address_changes_its_place_only() -> None:
    world = World([WEB, a_running_pod("web-0", ip="10.244.1.2"), a_running_pod("web-1")])
    world.settle(Endpoints(), ROUNDS)

    world.put(a_running_pod("web-0", ip="10.244.1.99"))
    world.settle(Endpoints(), ROUNDS)

    (one,) = world.all(EndpointSlice)
    assert [endpoint.addresses for endpoint in one.endpoints] == [("10.244.1.99",), ("10.244.1.2",)]


def test_250_pods_fill_three_slices_and_one_more_pod_changes_one() -> None:
    world = World([WEB, *(a_running_pod(f"web-{n:03}", ip=f"10.244.1.{n}") for n in range(250))])
    world.settle(Endpoints(), ROUNDS)
    counts = sorted(len(one.endpoints) for one in world.all(EndpointSlice))
    assert counts == [50, ENDPOINT_MAX, ENDPOINT_MAX]

    world.put(a_running_pod("web-x", ip="10.244.2.1"))

    assert len(world.plan(Endpoints(), WEB.ref)) == 1


def test_a_freed_place_in_a_full_slice_is_filled_before_another_grows() -> None:
    found = [a_running_pod(f"web-{n:03}", ip=f"10.244.1.{n}") for n in range(ENDPOINT_MAX + 1)]
    world = World([WEB, *found])
    world.settle(Endpoints(), ROUNDS)

    world.remove(found[0].ref)
    world.put(a_running_pod("web-x", ip="10.244.2.1"))
    world.settle(Endpoints(), ROUNDS)

    counts = sorted(len(one.endpoints) for one in world.all(EndpointSlice))
    assert sum(counts) == ENDPOINT_MAX + 1
    assert counts == [1, ENDPOINT_MAX]


def test_a_named_port_that_differs_between_pods_makes_a_slice_for_each_number() -> None:
    service = a_service(ports=[ServicePort(port=80, name="http", target_port="http")])
    world = World(
        [
            service,
            listening("web-0", "10.244.1.2", 8080),
            listening("web-1", "10.244.1.3", 9090),
            listening("web-2", "10.244.1.4", 8080),
            listening("web-3", "10.244.1.5", 7070, "other"),
        ]
    )

    world.settle(Endpoints(), ROUNDS)

    found = {one.ports[0].port: len(one.endpoints) for one in world.all(EndpointSlice)}
    assert found == {8080: 2, 9090: 1}
    assert {one.ports[0].name for one in world.all(EndpointSlice)} == {"http"}


def test_udp_ports_are_told_as_udp() -> None:
    ports = [ServicePort(port=53, protocol="UDP", target_port=5353)]
    world = World([a_service(ports=ports), a_running_pod("web-0")])

    world.settle(Endpoints(), ROUNDS)

    (one,) = world.all(EndpointSlice)
    assert [(port.protocol, port.port) for port in one.ports] == [("UDP", 5353)]


def test_a_headless_service_has_slices_too_even_without_ports() -> None:
    service = a_service(ports=(), cluster_ip="None")
    world = World([service, a_running_pod("web-0")])

    world.settle(Endpoints(), ROUNDS)

    assert ready_addresses(world) == ["10.244.1.2"]


@pytest.mark.parametrize("nonsense", ["127.0.0.1", "169.254.1.1", "0.0.0.0", "::1", "10.244.1"])
def test_a_pod_whose_kubelet_tells_nonsense_costs_the_others_nothing(nonsense: str) -> None:
    world = World([WEB, a_running_pod("web-0"), a_running_pod("web-1", ip=nonsense)])

    world.settle(Endpoints(), ROUNDS)

    assert ready_addresses(world) == ["10.244.1.2"]
    assert [list(one.problems()) for one in world.all(EndpointSlice)] == [[]]


def test_a_service_with_all_the_labels_there_may_be_has_a_legal_slice() -> None:
    labels = {f"l{number}": "x" for number in range(LABEL_COUNT_MAX)}
    service = replaced(WEB, metadata=replaced(WEB.metadata, labels=labels))
    world = World([service, a_running_pod("web-0")])

    world.settle(Endpoints(), ROUNDS)

    assert [list(one.problems()) for one in world.all(EndpointSlice)] == [[]]


def test_slices_of_a_service_without_a_selector_or_of_another_hand_are_not_touched() -> None:
    manual = a_service("manual", selector={})
    by_hand = a_slice("manual-1", service="manual", addresses=["192.0.2.1"])
    foreign = a_slice("web-by-hand", managed_by="somebody", addresses=["192.0.2.2"])
    world = World([manual, WEB, by_hand, foreign])
    before = world.all(EndpointSlice)

    world.settle(Endpoints(), ROUNDS)

    made = [one for one in world.all(EndpointSlice) if one not in before]
    assert len(made) == len(world.all(EndpointSlice)) - len(before)
    assert [one.service_name for one in made] == ["web"]


def test_a_service_that_selects_nothing_has_one_empty_slice_until_a_pod_answers() -> None:
    world = World([WEB])
    world.settle(Endpoints(), ROUNDS)
    (empty,) = world.all(EndpointSlice)
    assert (empty.service_name, empty.endpoints, empty.ports) == ("web", (), ())

    world.put(a_running_pod("web-0", ip="10.244.1.2"))
    world.settle(Endpoints(), ROUNDS)

    assert [len(one.endpoints) for one in world.all(EndpointSlice)] == [1]


def test_when_a_service_goes_its_slices_go_once_that_is_certain() -> None:
    world = World([WEB, a_running_pod("web-0")])
    world.settle(Endpoints(), ROUNDS)
    world.remove(WEB.ref)
    lagging = replace(world.view(), as_of=1)

    assert not any("Delete" in str(one) for one in Endpoints().plan(WEB.ref, lagging, NOW))
    world.settle(Endpoints(), ROUNDS)
    assert world.all(EndpointSlice) == []


def test_an_endpoint_tells_which_pod_it_is_where_it_runs_and_its_host_name() -> None:
    pod = a_running_pod("web-0", node="n2")
    named = replaced(pod, spec=replaced(pod.spec, hostname="db", subdomain="web"))
    world = World([WEB, named])

    world.settle(Endpoints(), ROUNDS)

    (endpoint,) = (one for each in world.all(EndpointSlice) for one in each.endpoints)
    assert (endpoint.hostname, endpoint.node_name) == ("db", "n2")
    assert endpoint.target_ref is not None
    assert endpoint.target_ref.ref == pod.ref
    assert endpoint.target_ref.uid == pod.metadata.uid


def test_a_host_name_counts_behind_the_service_that_the_pods_subdomain_means() -> None:
    pod = a_running_pod("web-0", node="n2")
    for subdomain in ("", "other"):
        spec = replaced(pod.spec, hostname="db", subdomain=subdomain)
        world = World([WEB, replaced(pod, spec=spec)])
        world.settle(Endpoints(), ROUNDS)
        (endpoint,) = (one for each in world.all(EndpointSlice) for one in each.endpoints)
        assert endpoint.hostname == ""


@pytest.mark.parametrize(
    ("is_published", "ready"), [(False, ["10.244.1.3"]), (True, ["10.244.1.2", "10.244.1.3"])]
)
def test_pods_that_are_not_ready_count_where_the_service_says_so(
    is_published: bool, ready: list[str]
) -> None:
    service = replaced(WEB, spec=replaced(WEB.spec, publish_not_ready_addresses=is_published))
    unready = a_pod("web-0", node="n1", phase="Running", ip="10.244.1.2")
    world = World([service, unready, a_running_pod("web-1", ip="10.244.1.3")])

    world.settle(Endpoints(), ROUNDS)

    assert ready_addresses(world) == ready
