"""Ports of a node that lead to pods, as rules."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import ContainerPort
from cubernetes.api.meta import replaced
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.iptables import CHECK_PAUSE_S_MAX, CHECK_SHARE, pause_after
from cubernetes.host.packetfilter.ruleset import Chain, FoundRules, RuleSet, restore_text
from kubelet.ports.hostports import BACK, FORTH, IptablesHostPorts, leads_of, rules_for
from kubelet.ports.keptrules import CHECK_S
from tests.given import a_container, a_pod
from tests.papernet import PaperNet


def a_web_pod(*ports: ContainerPort) -> Pod:
    pod = a_pod("web-0")
    return replaced(pod, spec=replaced(pod.spec, containers=(a_container(ports=ports),)))


def test_a_host_port_leads_to_the_pods_own_port() -> None:
    pod = a_web_pod(
        ContainerPort(container_port=80, host_port=8085),
        ContainerPort(container_port=53, host_port=53, protocol="UDP", host_ip="192.168.78.11"),
        ContainerPort(container_port=9000),
    )
    rules = rules_for(leads_of(pod, "10.244.1.7"))

    assert [" ".join(rule) for rule in rules.chains[Chain("nat", FORTH)]] == [
        "-p tcp -m tcp --dport 8085 -j DNAT --to-destination 10.244.1.7:80",
        "-d 192.168.78.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.1.7:53",
    ]
    back = rules.chains[Chain("nat", BACK)]
    assert [" ".join(rule) for rule in back] == ["-s 10.244.1.7/32 -d 10.244.1.7/32 -j MASQUERADE"]


def test_a_pod_at_the_nodes_own_ports_is_led_to_by_none() -> None:
    pod = a_web_pod(ContainerPort(container_port=80, host_port=80))
    shared = replaced(pod, spec=replaced(pod.spec, host_network=True))

    assert leads_of(pod, "192.168.78.11")
    assert leads_of(shared, "192.168.78.11") == ()


def test_the_order_of_the_leads_does_not_matter() -> None:
    leads = [
        lead
        for number in range(9)
        for lead in leads_of(
            a_web_pod(ContainerPort(container_port=80, host_port=8000 + number)),
            f"10.244.1.{number + 1}",
        )
    ]
    shuffled = list(leads)
    random.Random(7).shuffle(shuffled)

    assert rules_for(leads) == rules_for(shuffled)


def test_without_host_ports_nothing_is_left_behind() -> None:
    pod = a_web_pod(ContainerPort(container_port=80, host_port=8085))
    held = FoundRules(rules_for(leads_of(pod, "10.244.1.7")))

    text = restore_text(held, RuleSet())
    assert f"-X {FORTH}" in text
    assert f"-X {BACK}" in text
    assert text.count("-D ") == 3


@asynccontextmanager
async def host_ports_on(
    net: PaperNet, *addresses: str, expected: Sequence[str] = ()
) -> AsyncIterator[IptablesHostPorts]:
    ports = IptablesHostPorts(Env(commands=net), lambda: addresses)
    ports.expect(expected)
    task = asyncio.create_task(ports.run())
    try:
        yield ports
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  the paper has no events to wait for
            await asyncio.sleep(0.002)


def a_dns_pod(host_ip: str = "") -> Pod:
    return a_web_pod(
        ContainerPort(container_port=53, host_port=5353, protocol="UDP", host_ip=host_ip)
    )


def forgotten(net: PaperNet) -> list[str]:
    return [" ".join(argv[4:]) for argv in net.conntracked]


async def test_flows_that_began_before_the_pod_are_forgotten_after_the_rules() -> None:
    net = PaperNet()
    async with host_ports_on(net, "192.0.2.1", "10.244.1.0") as ports:
        ports.lead(a_dns_pod(), "10.244.1.7")
        await until(lambda: len(net.conntracked) == 2)

    assert forgotten(net) == [
        "--orig-dst 10.244.1.0 --orig-port-dst 5353",
        "--orig-dst 192.0.2.1 --orig-port-dst 5353",
    ]
    last_write = max(index for index, argv in enumerate(net.ran) if "--noflush" in argv)
    assert net.ran.index(net.conntracked[0]) > last_write


async def test_flows_to_a_pod_that_was_replaced_are_forgotten() -> None:
    net = PaperNet()
    async with host_ports_on(net, "192.0.2.1") as ports:
        pod = a_dns_pod("192.0.2.1")
        ports.lead(pod, "10.244.1.7")
        await until(lambda: len(net.conntracked) == 1)
        net.ran.clear()
        ports.lead(pod, "10.244.1.8")
        await until(lambda: len(net.conntracked) == 1)

    assert forgotten(net) == ["--orig-dst 192.0.2.1 --orig-port-dst 5353 --dst-nat 10.244.1.7"]


async def test_every_flow_of_a_pod_that_went_is_forgotten_with_or_without_host_ports() -> None:
    net = PaperNet()
    async with host_ports_on(net, "192.0.2.1") as ports:
        ports.drop("uid-of-any", "10.244.1.9")
        await until(lambda: len(net.conntracked) == 2)
        ports.drop("uid-of-none", "")

    assert forgotten(net) == ["--orig-src 10.244.1.9", "--reply-src 10.244.1.9"]


async def test_a_flush_of_the_ports_rules_is_seen_at_the_next_look() -> None:
    net = PaperNet()
    async with host_ports_on(net, "192.0.2.1") as ports:
        ports.lead(a_dns_pod(), "10.244.1.7")
        await until(lambda: bool(net.tables["nat"].get(FORTH)))
        net.tables["nat"]["PREROUTING"].clear()
        ports.drop("uid-of-any", "10.244.1.9")
        await until(lambda: bool(net.tables["nat"]["PREROUTING"]))


def a_web_pod_at(name: str, port: int) -> Pod:
    ports = (ContainerPort(container_port=80, host_port=port),)
    pod = a_pod(name)
    return replaced(pod, spec=replaced(pod.spec, containers=(a_container(ports=ports),)))


async def turns() -> None:
    """Let everybody go on who can; paper answers at once."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_no_port_is_closed_by_a_new_life_before_its_pod_was_looked_at() -> None:
    net, pods = PaperNet(), [a_web_pod_at(f"web-{number}", 8080 + number) for number in range(3)]
    async with host_ports_on(net, "192.0.2.1") as ports:
        for number, pod in enumerate(pods):
            ports.lead(pod, f"10.244.1.{number}")
        await until(lambda: len(net.tables["nat"].get(FORTH, ())) == 3)
    net.restored.clear()
    uids = [pod.metadata.uid for pod in pods]
    async with host_ports_on(net, "192.0.2.1", expected=uids) as ports:
        await turns()
        # A pod without ports ends, and the first of the three is found to run.
        ports.drop("uid-of-any", "10.244.1.9")
        ports.lead(pods[0], "10.244.1.0")
        ports.seen(uids[0])
        await turns()
        ports.lead(pods[1], "10.244.1.1")
        ports.seen(uids[1])
        await turns()
        assert net.restored == []
        # The third went while nobody looked.
        ports.seen(uids[2])
        await until(lambda: len(net.tables["nat"][FORTH]) == 2)

    assert len(net.restored) == 1


async def test_a_life_that_knows_of_no_pod_yet_takes_no_rule_away() -> None:
    net, pod = PaperNet(), a_web_pod_at("web-0", 8080)
    async with host_ports_on(net, "192.0.2.1") as ports:
        ports.lead(pod, "10.244.1.7")
        await until(lambda: bool(net.tables["nat"].get(FORTH)))
    net.restored.clear()
    ports = IptablesHostPorts(Env(commands=net), lambda: ["192.0.2.1"])
    task = asyncio.create_task(ports.run())
    await turns()
    ports.drop("uid-of-any", "10.244.1.9")
    await turns()
    assert net.restored == []
    ports.expect(())
    await until(lambda: FORTH not in net.tables["nat"])
    task.cancel()
    await asyncio.wait([task])


def test_looks_come_soon_and_cost_a_bounded_share_of_the_time() -> None:
    assert pause_after(0.01, CHECK_S) == CHECK_S < 5.0
    assert pause_after(0.3, CHECK_S) == 0.3 / CHECK_SHARE > CHECK_S
    # Also where the machine is busy, or has a great many.
    assert pause_after(2.0, CHECK_S) == CHECK_PAUSE_S_MAX
    assert pause_after(0.0, 60.0) == 60.0
