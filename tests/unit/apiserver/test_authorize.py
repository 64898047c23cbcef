"""Roles as a table, and random nodes against an oracle that knows who runs what."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.auth import authorize
from apiserver.auth.authorize import Attempt, node_of
from apiserver.strategies import registry
from apiserver.strategies.registry import strategy_of
from apiserver.strategies.strategy import Strategy
from cubernetes.api.coordination.lease import Lease, LeaseSpec
from cubernetes.api.core.event import Event, EventSource
from cubernetes.api.core.node import Node, NodeSpec
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.container import Container
from cubernetes.api.core.podspec.spec import PodSpec
from cubernetes.api.meta import Object, ObjectMeta
from cubernetes.api.registry import KINDS
from cubernetes.host.web.messages import ANONYMOUS, Identity

ADMIN = Identity("someone", ("system:masters",))
SCHEDULER = Identity("system:scheduler")
CONTROLLERS = Identity("system:controllers")
PROXY = Identity("system:proxy:n1", ("system:proxies",))
GATEWAY = Identity("system:gateway:n1", ("system:gateways",))
RESOLVER = Identity("system:resolver:n1", ("system:resolvers",))
JOINER = Identity("system:bootstrap:abc", ("system:bootstrappers",))
MONITOR = Identity("watcher", ("system:monitoring",))
LEASES, ROADS = "coordination.k8s.io", "cube-road-lease"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
RESOURCES = (*(kind.resource.plural for kind in KINDS), "tokens", "join")


BY_RESOURCE = {kind.resource.plural: kind for kind in KINDS}


def access_to(attempt: Attempt) -> Strategy[Any] | None:
    kind = BY_RESOURCE.get(attempt.resource)
    return strategy_of(kind) if kind is not None else None


def may(
    identity: Identity, attempt: Attempt, one: Object | None = None, *, is_named: bool = False
) -> str:
    return authorize.may(identity, attempt, access_to(attempt), one, is_named=is_named)


def needs_object(identity: Identity, attempt: Attempt) -> bool:
    access = access_to(attempt)
    return access is not None and authorize.needs_object(identity, attempt, access)


def needs_name(identity: Identity, attempt: Attempt) -> bool:
    access = access_to(attempt)
    return access is not None and authorize.needs_name(identity, access)


def object_refusal(identity: Identity, subresource: str, old: Object | None, new: Object) -> str:
    return registry.object_refusal(strategy_of(type(new)), identity, subresource, old, new)


def a_kubelet(node: str) -> Identity:
    return Identity(f"system:node:{node}", ("system:nodes",))


def a_pod(node: str) -> Pod:
    spec = PodSpec(containers=(Container(name="c", image="i"),), node_name=node)
    return Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=spec)


@pytest.mark.parametrize(
    ("identity", "attempt", "allowed"),
    [
        (SCHEDULER, Attempt("create", "", "pods", "binding"), True),
        (SCHEDULER, Attempt("create", "", "pods"), False),
        (SCHEDULER, Attempt("patch", "", "pods", "status"), True),
        (SCHEDULER, Attempt("patch", "", "nodes"), False),
        (SCHEDULER, Attempt("update", LEASES, "leases", "", "kube-system"), True),
        (SCHEDULER, Attempt("update", LEASES, "leases", "", "kube-node-lease"), False),
        (SCHEDULER, Attempt("list", LEASES, "leases"), False),
        (CONTROLLERS, Attempt("delete", "", "services"), True),
        (CONTROLLERS, Attempt("create", "", "nodes"), False),
        (CONTROLLERS, Attempt("update", "", "namespaces", "finalize"), True),
        (CONTROLLERS, Attempt("list", "cubernetes.io", "tokens"), False),
        (CONTROLLERS, Attempt("create", "", "pods", "binding"), False),
        (PROXY, Attempt("watch", "", "services"), True),
        (PROXY, Attempt("get", "", "pods"), False),
        (PROXY, Attempt("update", "", "services"), False),
        (GATEWAY, Attempt("watch", "networking.k8s.io", "ingresses"), True),
        (GATEWAY, Attempt("list", "cubernetes.io", "dnses"), True),
        (GATEWAY, Attempt("patch", "cubernetes.io", "dnses", "status"), False),
        (GATEWAY, Attempt("list", "", "secrets"), False),
        (GATEWAY, Attempt("list", "", "pods"), False),
        (GATEWAY, Attempt("patch", LEASES, "leases", "", ROADS, "gateway-n1"), True),
        (GATEWAY, Attempt("patch", LEASES, "leases", "", ROADS, "gateway-n2"), False),
        (GATEWAY, Attempt("create", LEASES, "leases", "", ROADS, "gateway-n1"), True),
        (GATEWAY, Attempt("create", LEASES, "leases", "", ROADS, "gateway-n2"), False),
        (GATEWAY, Attempt("create", LEASES, "leases", "", ROADS, ""), False),
        (GATEWAY, Attempt("delete", LEASES, "leases", "", ROADS, "gateway-n1"), True),
        (GATEWAY, Attempt("patch", LEASES, "leases", "", ROADS, "proxy-n1"), False),
        # That of a node whose name begins like ours.
        (GATEWAY, Attempt("patch", LEASES, "leases", "", "kube-node-lease", "gateway-n1"), False),
        (GATEWAY, Attempt("patch", LEASES, "leases", "", "kube-system", "gateway-n1"), False),
        (GATEWAY, Attempt("create", "cubernetes.io", "join"), False),
        (GATEWAY, Attempt("patch", "", "events"), True),
        # They report nothing: what is not needed is not allowed.
        (PROXY, Attempt("create", "", "events"), False),
        (PROXY, Attempt("patch", "", "events"), False),
        (RESOLVER, Attempt("create", "", "events"), False),
        (RESOLVER, Attempt("watch", "", "services"), True),
        (RESOLVER, Attempt("list", "cubernetes.io", "dnses"), True),
        (RESOLVER, Attempt("watch", "", "configmaps", "", "kube-system", "resolver"), True),
        (RESOLVER, Attempt("watch", "", "configmaps", "", "kube-system"), False),
        (RESOLVER, Attempt("get", "", "configmaps", "", "kube-system", "other"), False),
        (RESOLVER, Attempt("get", "", "configmaps", "", "default", "resolver"), False),
        (RESOLVER, Attempt("patch", "", "configmaps", "", "kube-system", "resolver"), False),
        (PROXY, Attempt("get", LEASES, "leases", "", ROADS, "proxy-n1"), True),
        (PROXY, Attempt("update", LEASES, "leases", "", ROADS, "proxy-n1"), True),
        (PROXY, Attempt("create", LEASES, "leases", "", ROADS, "proxy-n1"), True),
        (PROXY, Attempt("create", LEASES, "leases", "", ROADS), False),
        (PROXY, Attempt("update", LEASES, "leases", "", ROADS, "proxy-n2"), False),
        (PROXY, Attempt("update", LEASES, "leases", "", ROADS, "gateway-n1"), False),
        (PROXY, Attempt("update", LEASES, "leases", "", "kube-node-lease", "proxy-n1"), False),
        (PROXY, Attempt("delete", LEASES, "leases", "", ROADS, "proxy-n1"), False),
        (PROXY, Attempt("list", LEASES, "leases", "", ROADS), False),
        (a_kubelet("n1"), Attempt("update", LEASES, "leases", "", ROADS, "n1"), False),
        (JOINER, Attempt("create", "cubernetes.io", "join"), True),
        (JOINER, Attempt("get", "", "nodes"), False),
        (a_kubelet("n1"), Attempt("create", "cubernetes.io", "join"), True),
        (a_kubelet("n1"), Attempt("create", "cubernetes.io", "join", "status"), False),
        (a_kubelet("n1"), Attempt("create", "cubernetes.io", "tokens"), False),
        (PROXY, Attempt("create", "cubernetes.io", "join"), False),
        (SCHEDULER, Attempt("create", "cubernetes.io", "join"), False),
        (CONTROLLERS, Attempt("create", "cubernetes.io", "join"), False),
        (a_kubelet("n1"), Attempt("create", "example.com", "join"), False),
        (MONITOR, Attempt("get", "cubernetes.io", "metrics"), True),
        # Custom kinds of the names that rules have.
        (CONTROLLERS, Attempt("list", "example.com", "tokens"), True),
        (CONTROLLERS, Attempt("patch", "example.com", "join"), True),
        (CONTROLLERS, Attempt("delete", "example.com", "metrics"), True),
        (CONTROLLERS, Attempt("create", "example.com", "pods"), False),
        (GATEWAY, Attempt("list", "example.com", "services"), False),
        (GATEWAY, Attempt("list", "example.com", "ingresses"), False),
        (PROXY, Attempt("list", "example.com", "nodes"), False),
        (RESOLVER, Attempt("list", "example.com", "dnses"), False),
        (SCHEDULER, Attempt("create", "example.com", "pods", "binding"), False),
        (SCHEDULER, Attempt("create", "events.k8s.io", "events"), True),
        (JOINER, Attempt("create", "example.com", "join"), False),
        (MONITOR, Attempt("get", "example.com", "metrics"), False),
        (ANONYMOUS, Attempt("get", "", "nodes"), False),
    ],
)
def test_each_program_may_what_its_work_needs(
    identity: Identity, attempt: Attempt, allowed: bool
) -> None:
    assert (may(identity, attempt) == "") == allowed


@given(verb=st.sampled_from(VERBS), resource=st.sampled_from(RESOURCES))
def test_masters_may_everything_and_strangers_nothing(verb: str, resource: str) -> None:
    attempt = Attempt(verb, "", resource)

    assert may(ADMIN, attempt) == ""
    for stranger in (
        ANONYMOUS,
        Identity("system:node:n1"),
        Identity("n1", ("system:nodes",)),
        Identity("system:bootstrap:x", ("system:nodes",)),
        Identity("system:proxy:n1"),
        Identity("system:gateway:n1"),
        Identity("scheduler", ("system:scheduler",)),
    ):
        assert may(stranger, attempt)


def test_a_node_reaches_only_what_is_its_own() -> None:
    """Every combination of what an attempt may say."""
    said = product(
        VERBS,
        RESOURCES,
        ("", "status", "binding", "log", "scale", "finalize"),
        ("", "default", "kube-node-lease"),
        ("", "n1", "n2", "p"),
        ("", "n1", "n2"),
    )
    me = a_kubelet("n1")
    pods = {node: a_pod(node) for node in ("", "n1", "n2")}
    for verb, resource, subresource, namespace, name, field in said:
        attempt = Attempt(verb, "", resource, subresource, namespace, name, field)
        asks = needs_object(me, attempt)
        for bound_to, pod in pods.items():
            if not may(me, attempt, pod if asks else None, is_named=True):
                must_be_its_own(attempt, bound_to)


def must_be_its_own(attempt: Attempt, bound_to: str) -> None:
    """Whatever n1 is allowed is one of these, and about n1."""
    verb, subresource, name = attempt.verb, attempt.subresource, attempt.name
    match attempt.resource:
        case "nodes" | "services" if verb in ("get", "list", "watch", "create"):
            assert subresource == ""
            assert attempt.resource == "nodes" or verb != "create"
        case "nodes":
            assert name == "n1"
            assert subresource in ("", "status")
        case "leases":
            assert attempt.namespace == "kube-node-lease"
            assert verb == "create" or name == "n1"
        case "pods" if verb in ("list", "watch"):
            assert attempt.node == "n1"
        case "pods":
            assert bound_to == "n1" or not name
            assert subresource in ("", "status")
            assert verb != "create"
        case "join":
            # For whom, is in the body: apiserver/enrolment/joining.py looks at it.
            assert (verb, subresource) == ("create", "")
        case "configmaps" | "secrets" | "persistentvolumeclaims":
            # That its pods name them is a law of its own, below.
            assert (subresource, bool(name)) == ("", True)
            assert verb in ("get", "list", "watch")
        case _:
            must_be_told_or_its_disks(attempt)


def must_be_told_or_its_disks(attempt: Attempt) -> None:
    """Events are told; no volume of these is on the disk of n1: one that is may be patched."""
    verb = attempt.verb
    if attempt.resource != "persistentvolumes":
        assert attempt.resource == "events"
        assert verb in ("create", "update", "patch")
        return
    assert attempt.subresource == ""
    is_list = (verb, attempt.node) in (("list", "n1"), ("watch", "n1"))
    assert is_list or verb == "get" or (verb, attempt.name) == ("patch", "")


@given(
    verb=st.sampled_from(VERBS),
    resource=st.sampled_from(("configmaps", "secrets")),
    subresource=st.sampled_from(("", "status")),
    name=st.sampled_from(("", "shop")),
    namespace=st.sampled_from(("", "default")),
    is_named=st.booleans(),
)
def test_a_node_reads_one_by_one_what_its_pods_name(
    verb: str, resource: str, subresource: str, name: str, namespace: str, is_named: bool
) -> None:
    attempt = Attempt(verb, "", resource, subresource, namespace, name)
    is_read = verb in ("get", "list", "watch") and not subresource
    allowed = is_read and bool(name) and bool(namespace) and is_named

    # A gateway does so with what Ingresses name.
    for reader in (a_kubelet("n1"), GATEWAY):
        assert needs_name(reader, attempt)
        assert (may(reader, attempt, is_named=is_named) == "") == allowed
    for other in (PROXY, SCHEDULER, JOINER, ANONYMOUS):
        assert not needs_name(other, attempt)
        assert may(other, attempt)


def test_a_pod_is_asked_for_only_where_the_answer_depends_on_it() -> None:
    get = Attempt("get", "", "pods", name="p")

    assert needs_object(a_kubelet("n1"), get)
    assert not needs_object(SCHEDULER, get)
    assert not needs_object(a_kubelet("n1"), Attempt("get", "", "nodes", name="n1"))
    assert node_of(a_kubelet("n1")) == "n1"


def test_what_a_node_writes_about_itself_has_limits() -> None:
    kubelet = a_kubelet("n1")

    def node(name: str = "n1", labels: dict[str, str] | None = None, cidr: str = "") -> Node:
        meta = ObjectMeta(name=name, labels=labels or {})
        return Node(metadata=meta, spec=NodeSpec(pod_cidr=cidr))

    assert object_refusal(kubelet, "", None, node(labels={"gpu": "yes"})) == ""
    assert object_refusal(kubelet, "", None, node("n2"))
    assert object_refusal(kubelet, "", None, node(cidr="10.244.0.0/24"))
    kept = node(cidr="10.244.0.0/24")
    assert object_refusal(kubelet, "", kept, kept) == ""
    worker = node(labels={"node-role.kubernetes.io/worker": ""})
    assert object_refusal(kubelet, "", None, worker) == ""
    assert object_refusal(kubelet, "", node(), worker)
    assert object_refusal(
        kubelet, "", node(), node(labels={"node-restriction.kubernetes.io/a": ""})
    )
    assert object_refusal(kubelet, "", worker, node())
    assert object_refusal(kubelet, "status", a_pod("n1"), a_pod("n1")) == ""
    assert object_refusal(kubelet, "status", a_pod("n2"), a_pod("n2"))
    assert object_refusal(ADMIN, "", None, node("n2")) == ""
    lease = Lease(metadata=ObjectMeta(name="n2"), spec=LeaseSpec())
    assert object_refusal(kubelet, "", None, lease)


def an_event(component: str = "gateway", host: str = "n1", *, is_newer: bool = False) -> Event:
    meta = ObjectMeta(name="e", namespace="default")
    if is_newer:
        return Event(metadata=meta, reporting_component=component, reporting_instance=host)
    return Event(metadata=meta, source=EventSource(component=component, host=host))


@pytest.mark.parametrize("is_newer", [False, True])
@pytest.mark.parametrize(
    ("component", "host"),
    [("gateway", "n2"), ("kubelet", "n1"), ("scheduler", ""), ("gateway", ""), ("", "")],
)
def test_a_gateway_reports_as_itself_and_rewrites_no_report_of_others(
    component: str, host: str, is_newer: bool
) -> None:
    own, other = an_event(), an_event(component, host, is_newer=is_newer)

    assert object_refusal(GATEWAY, "", None, own) == ""
    assert object_refusal(GATEWAY, "", own, own) == ""
    assert object_refusal(GATEWAY, "", own, an_event(is_newer=True)) == ""
    assert object_refusal(GATEWAY, "", None, other)
    assert object_refusal(GATEWAY, "", own, other)
    assert object_refusal(GATEWAY, "", other, own)


def test_a_kubelet_rewrites_no_report_of_a_program_without_a_host() -> None:
    """What the scheduler and the controllers report names no host, and is not a node's."""
    kubelet, told = a_kubelet("n1"), an_event("scheduler", "")

    assert object_refusal(kubelet, "", told, told)
    assert object_refusal(kubelet, "", told, an_event("kubelet", "n1"))
    assert object_refusal(kubelet, "", an_event("kubelet", "n1"), an_event("kubelet", "n1")) == ""
    newer = an_event("kubelet", "n2", is_newer=True)
    assert object_refusal(kubelet, "", newer, newer)


def test_an_administrator_reports_as_anybody_whatever_its_other_groups() -> None:
    both = Identity("system:gateway:n1", ("system:gateways", "system:masters"))

    assert object_refusal(both, "", None, an_event("scheduler", "")) == ""
