"""Whom a pod asks for names, by its policy and its own words."""

from typing import Any

import pytest

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.dns import PodDNSConfig, PodDNSOption
from cubernetes.api.meta import replaced
from cubernetes.host.names.resolvconf import ResolvConf, parsed
from kubelet.pod.decisions.names import names_for
from tests.given import a_pod

SERVERS, DOMAIN = ("169.254.20.10",), "cluster.local"
HOST = ResolvConf(("192.0.2.53", "127.0.0.53"), ("example.org",), ("timeout:1",))
CLUSTER_SEARCHES = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


def a_pod_with(policy: str, **config: Any) -> Pod:
    pod = a_pod("web-0", namespace="shop")
    own = PodDNSConfig(**config) if config else None
    return replaced(pod, spec=replaced(pod.spec, dns_policy=policy, dns_config=own))


@pytest.mark.parametrize("policy", ["ClusterFirst", "ClusterFirstWithHostNet"])
def test_a_pod_tries_the_clusters_domains_before_its_nodes(policy: str) -> None:
    assert names_for(a_pod_with(policy), SERVERS, DOMAIN, HOST) == ResolvConf(
        SERVERS, (*CLUSTER_SEARCHES, "example.org"), ("ndots:5",)
    )


def test_by_default_a_pod_asks_whom_its_node_asks_but_no_loopback() -> None:
    assert names_for(a_pod_with("Default"), SERVERS, DOMAIN, HOST) == ResolvConf(
        ("192.0.2.53",), ("example.org",), ("timeout:1",)
    )


@pytest.mark.parametrize("policy", ["Default", "ClusterFirst"])
def test_a_pod_in_its_nodes_network_asks_whom_its_node_asks_loopback_included(policy: str) -> None:
    pod = a_pod_with(policy)
    shared = replaced(pod, spec=replaced(pod.spec, host_network=True))
    assert names_for(shared, SERVERS, DOMAIN, HOST) == HOST


def test_a_node_that_asks_only_its_own_loopback_is_asked_through_its_resolver() -> None:
    host = ResolvConf(("127.0.0.53",), ("example.org",))
    assert names_for(a_pod_with("Default"), SERVERS, DOMAIN, host).servers == SERVERS


def test_a_pod_of_no_policy_has_what_it_names_and_nothing_else() -> None:
    pod = a_pod_with("None", nameservers=("192.0.2.1",), searches=("own.example",))
    assert names_for(pod, SERVERS, DOMAIN, HOST) == ResolvConf(("192.0.2.1",), ("own.example",))


def test_what_a_pod_adds_comes_after_and_its_options_replace() -> None:
    pod = a_pod_with(
        "ClusterFirst",
        nameservers=("192.0.2.1", "169.254.20.10"),
        searches=("own.example", "cluster.local"),
        options=(PodDNSOption(name="ndots", value="2"), PodDNSOption(name="edns0")),
    )
    assert names_for(pod, SERVERS, DOMAIN, HOST) == ResolvConf(
        ("169.254.20.10", "192.0.2.1"),
        (*CLUSTER_SEARCHES, "example.org", "own.example"),
        ("ndots:2", "edns0"),
    )


def test_without_a_resolver_a_pod_asks_whom_the_node_asks() -> None:
    assert names_for(a_pod_with("ClusterFirst"), (), DOMAIN, HOST) == ResolvConf(
        ("192.0.2.53",), ("example.org",), ("timeout:1",)
    )


def test_a_resolv_conf_is_read_as_glibc_reads_it() -> None:
    text = """
# by hand
nameserver 192.0.2.1 ; the first
nameserver fe80::1%eth0
nameserver nonsense
nameserver 192.0.2.2
nameserver 192.0.2.1
domain old.example
search one.example. two.example
options ndots:2 timeout:1
options edns0
"""
    conf = parsed(text)
    assert conf.servers == ("192.0.2.1", "192.0.2.2")
    assert conf.searches == ("one.example", "two.example")
    assert conf.options == ("ndots:2", "timeout:1", "edns0")
