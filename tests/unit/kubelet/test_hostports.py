"""Ports of a node that lead to pods, as rules."""

import random

from cubernetes.api.meta import replaced
from cubernetes.api.pod import ContainerPort, Pod
from cubernetes.host.ruleset import Found, Place, RuleSet, restore_text
from kubelet.hostports import BACK, FORTH, leads_of, rules_for
from tests.given import a_container, a_pod


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

    assert [" ".join(rule) for rule in rules.chains[Place("nat", FORTH)]] == [
        "-p tcp -m tcp --dport 8085 -j DNAT --to-destination 10.244.1.7:80",
        "-d 192.168.78.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.1.7:53",
    ]
    back = rules.chains[Place("nat", BACK)]
    assert [" ".join(rule) for rule in back] == ["-s 10.244.1.7/32 -d 10.244.1.7/32 -j MASQUERADE"]


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
    held = Found(rules_for(leads_of(pod, "10.244.1.7")))

    text = restore_text(held, RuleSet())
    assert f"-X {FORTH}" in text
    assert f"-X {BACK}" in text
    assert text.count("-D ") == 3
