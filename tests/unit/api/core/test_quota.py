"""Quotas and limit ranges: what is taken, what is refused, and what an object uses."""

from decimal import Decimal
from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.limitrange import LimitRange
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.quota.usage import counts, quantity_of, unstated, usage_of
from cubernetes.api.core.resourcequota import ResourceQuota
from cubernetes.api.core.secret import Secret
from cubernetes.api.core.service import Service
from cubernetes.api.meta import replaced
from tests.given import a_deployment, a_pod
from tests.volumes import a_claim

CPU = {"cpu": "500m", "memory": "64Mi"}
CLAIM = "PersistentVolumeClaim"


def a_quota(**spec: Any) -> ResourceQuota:
    tree = {"metadata": {"name": "q", "namespace": "default"}, "spec": spec}
    return codec.from_tree(ResourceQuota, tree).model.defaulted()


def a_range(*limits: Any) -> LimitRange:
    tree = {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": limits}}
    return codec.from_tree(LimitRange, tree).model.defaulted()


def pod_of(*containers: Any, phase: str = "Pending", **spec: Any) -> Pod:
    named = [{"name": f"c{at}", "image": "a", **one} for at, one in enumerate(containers)]
    tree = {
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": named, **spec},
        "status": {"phase": phase},
    }
    return codec.from_tree(Pod, tree).model


def a_service_of(**spec: Any) -> Service:
    tree = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}, {"port": 81}], **spec}}
    return codec.from_tree(Service, tree).model.defaulted()


def texts(one: Any) -> dict[str, str]:
    return {name: str(quantity_of(name, amount)) for name, amount in usage_of(one).items()}


def test_a_pod_uses_what_its_containers_request_and_may_use() -> None:
    limited = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    asking = {"resources": {"requests": {**CPU}}}
    first = {"name": "i", "image": "a", "resources": {"requests": {"cpu": "4"}}}

    assert texts(pod_of(limited, asking, initContainers=[first])) == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "4",
        "requests.cpu": "4",
        "memory": "1088Mi",
        "requests.memory": "1088Mi",
        "limits.cpu": "1",
        "limits.memory": "1Gi",
    }


def test_devices_are_called_by_their_requests() -> None:
    gpu = {"example.com/gpu": "2"}
    used = texts(pod_of({"resources": {"limits": gpu, "requests": gpu}}))

    assert used["requests.example.com/gpu"] == "2"
    assert "limits.example.com/gpu" not in used


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_of_a_pod_that_has_ended_only_its_object_counts(phase: str) -> None:
    assert texts(pod_of({"resources": {"requests": CPU}}, phase=phase)) == {"count/pods": "1"}


@pytest.mark.parametrize(
    ("spec", "more"),
    [
        ({}, {}),
        ({"type": "NodePort"}, {"services.nodeports": "2"}),
        ({"type": "LoadBalancer"}, {"services.nodeports": "2", "services.loadbalancers": "1"}),
        (
            {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
            {"services.loadbalancers": "1"},
        ),
    ],
)
def test_a_service_uses_node_ports_and_load_balancers(spec: Any, more: Any) -> None:
    assert texts(a_service_of(**spec)) == {"count/services": "1", "services": "1", **more}


def test_a_claim_uses_storage_in_all_and_of_its_class() -> None:
    bare = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1"}
    assert texts(a_claim(size="1500Mi")) == {**bare, "requests.storage": "1500Mi"}
    assert texts(a_claim(size="2Gi", storage_class="fast")) == {
        **bare,
        "requests.storage": "2Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "2Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }


def test_any_object_counts_by_its_kind() -> None:
    assert texts(a_deployment()) == {"count/deployments.apps": "1"}
    secret = codec.from_tree(Secret, {"metadata": {"name": "s"}}).model
    assert texts(secret) == {"count/secrets": "1", "secrets": "1"}


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("requests.memory", Decimal(2**30), "1Gi"),
        ("requests.memory", Decimal(1000), "1000"),
        ("cpu", Decimal("0.25"), "250m"),
        ("pods", Decimal(2048), "2048"),
        ("requests.storage", Decimal(2**30), "1Gi"),
        ("fast.storageclass.storage.k8s.io/requests.storage", Decimal(2**20), "1Mi"),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims", Decimal(2048), "2048"),
        ("memory", Decimal(0), "0"),
    ],
)
def test_amounts_are_written_as_people_do(name: str, amount: Decimal, text: str) -> None:
    assert str(quantity_of(name, amount)) == text


BARE: dict[str, Any] = {}
ASKING = {"resources": {"requests": CPU}}
ELSEWHERE = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "k", "namespaces": ["other"]}}
        ]
    }
}


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ("BestEffort", pod_of(BARE), pod_of(ASKING)),
        ("NotBestEffort", pod_of(ASKING), pod_of(BARE)),
        ("Terminating", pod_of(BARE, activeDeadlineSeconds=9), pod_of(BARE)),
        ("NotTerminating", pod_of(BARE), pod_of(BARE, activeDeadlineSeconds=9)),
        ("PriorityClass", pod_of(BARE, priorityClassName="high"), pod_of(BARE)),
        ("CrossNamespacePodAffinity", pod_of(BARE, affinity=ELSEWHERE), pod_of(BARE)),
    ],
)
def test_a_quota_with_scopes_counts_pods_of_which_all_hold(
    scope: str, inside: Pod, outside: Pod
) -> None:
    by_scope = a_quota(hard={"pods": "1"}, scopes=[scope])
    chosen = {"scopeName": scope, "operator": "Exists"}
    by_selector = a_quota(hard={"pods": "1"}, scopeSelector={"matchExpressions": [chosen]})
    without = a_quota(
        hard={"pods": "1"},
        scopeSelector={"matchExpressions": [{**chosen, "operator": "DoesNotExist"}]},
    )
    for quota in (by_scope, by_selector):
        assert list(quota.problems()) == []
        assert (counts(quota.spec, inside), counts(quota.spec, outside)) == (True, False)
        assert not counts(quota.spec, a_deployment())
    assert (counts(without.spec, inside), counts(without.spec, outside)) == (False, True)
    both = replaced(by_scope.spec, scopes=(scope, "PriorityClass"))
    assert counts(both, inside) == (scope == "PriorityClass")


def test_priority_classes_are_chosen_by_name() -> None:
    def of(operator: str) -> ResourceQuota:
        one = {"scopeName": "PriorityClass", "operator": operator, "values": ["high", "low"]}
        return a_quota(hard={"pods": "1"}, scopeSelector={"matchExpressions": [one]})

    high, plain = pod_of(BARE, priorityClassName="high"), pod_of(BARE)
    assert [counts(of("In").spec, one) for one in (high, plain)] == [True, False]
    assert [counts(of("NotIn").spec, one) for one in (high, plain)] == [False, True]


def test_what_a_quota_bounds_every_container_must_state() -> None:
    limited = {"resources": {"limits": {"cpu": "1"}}}
    pod = pod_of(limited, ASKING, BARE)
    hard = a_quota(hard={"requests.cpu": "1", "limits.cpu": "1", "memory": "1", "pods": "1"}).spec
    assert unstated(hard.hard, pod) == {
        "requests.cpu": ["c2"],
        "limits.cpu": ["c1", "c2"],
        "memory": ["c0", "c2"],
    }


def expression(**fields: Any) -> Any:
    one = {"scopeName": "PriorityClass", "operator": "Exists", **fields}
    return {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [one]}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hard": {"cpus": "1"}}, "spec.hard[cpus]"),
        ({"hard": {"pods": "-1"}}, "spec.hard[pods]"),
        ({"hard": {"pods": "1.5"}}, "spec.hard[pods]"),
        ({"hard": {"count/Deployments /": "1"}}, "spec.hard[count/Deployments /]"),
        ({"hard": {"pods": "1"}, "scopes": ["Best"]}, "spec.scopes[0]"),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, "spec.scopes[0]"),
        ({"hard": {"secrets": "1"}, "scopes": ["Terminating"]}, "spec.scopes[0]"),
        ({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}, "spec.scopes"),
        (expression(operator="In"), "spec.scopeSelector.matchExpressions[0].values"),
        (expression(values=["a"]), "spec.scopeSelector.matchExpressions[0].values"),
        (
            expression(scopeName="Terminating", operator="In", values=["a"]),
            "spec.scopeSelector.matchExpressions[0].operator",
        ),
    ],
)
def test_a_quota_that_means_nothing_is_refused_at_its_field(spec: Any, field: str) -> None:
    assert [one.field for one in a_quota(**spec).problems()] == [field]


def test_the_scopes_of_a_quota_never_change() -> None:
    old, new = a_quota(hard={"pods": "1"}), a_quota(hard={"pods": "1"}, scopes=["Terminating"])
    assert [one.field for one in new.update_problems(old)] == ["spec.scopes"]


def test_a_limit_range_fills_in_its_own_defaults() -> None:
    item = {"type": "Container", "max": {"cpu": "2", "memory": "2Gi"}, "min": {"cpu": "1"}}
    (one,) = a_range({**item, "default": {"memory": "1Gi"}}).spec.limits
    assert {name: str(amount) for name, amount in one.default.items()} == {
        "cpu": "2", "memory": "1Gi",
    }  # fmt: skip
    assert one.default_request == one.default


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ([{"type": "Pod", "default": {"cpu": "1"}}], "spec.limits[0].default"),
        ([{"type": CLAIM}], "spec.limits[0]"),
        (
            [{"type": CLAIM, "min": {"storage": "1"}, "max": {"cpu": "1"}}],
            "spec.limits[0].max[cpu]",
        ),
        (
            [{"type": CLAIM, "min": {"storage": "2"}, "max": {"storage": "1"}}],
            "spec.limits[0].min[storage]",
        ),
        (
            [{"type": CLAIM, "min": {"storage": "2"}, "default": {"storage": "2"}}],
            "spec.limits[0].default",
        ),
        ([{"type": "Pod"}, {"type": "Pod"}], "spec.limits[1].type"),
        ([{"type": "Pod", "max": {"pods": "1"}}], "spec.limits[0].max[pods]"),
        ([{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}], "spec.limits[0].min[cpu]"),
        (
            [{"type": "Pod", "maxLimitRequestRatio": {"cpu": "0.5"}}],
            "spec.limits[0].maxLimitRequestRatio[cpu]",
        ),
        (
            [
                {
                    "type": "Pod",
                    "min": {"cpu": "500m"},
                    "max": {"cpu": "2"},
                    "maxLimitRequestRatio": {"cpu": "4001m"},
                }
            ],
            "spec.limits[0].maxLimitRequestRatio[cpu]",
        ),
        (
            [
                {
                    "type": "Container",
                    "defaultRequest": {"example.com/gpu": "1"},
                    "default": {"example.com/gpu": "2"},
                }
            ],
            "spec.limits[0].default[example.com/gpu]",
        ),
        (
            [{"type": "Container", "defaultRequest": {"cpu": "2"}, "default": {"cpu": "1"}}],
            "spec.limits[0].defaultRequest[cpu]",
        ),
    ],
)
def test_a_limit_range_that_contradicts_itself_is_refused(limits: Any, field: str) -> None:
    assert [one.field for one in a_range(*limits).problems()] == [field]


def test_a_ratio_may_be_all_that_lies_between_the_least_and_the_most() -> None:
    item = {
        "type": "Pod",
        "min": {"cpu": "500m", "memory": "0"},
        "max": {"cpu": "2", "memory": "1"},
    }
    assert not [*a_range({**item, "maxLimitRequestRatio": {"cpu": 4, "memory": 9}}).problems()]


def test_a_pod_of_the_builders_counts_once() -> None:
    assert usage_of(a_pod())["pods"] == 1
