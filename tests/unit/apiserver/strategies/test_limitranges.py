"""What LimitRanges make of a new pod, and what they refuse."""

from typing import Any

import pytest

from apiserver.strategies.admission.limits import NOTE, check_claim, within_limits
from cubernetes.api.core.pod import Pod
from cubernetes.api.errors import Forbidden, Invalid
from tests.unit.api.core.test_quota import a_range, pod_of
from tests.volumes import a_claim

DEFAULTS = {
    "type": "Container",
    "default": {"cpu": "500m", "memory": "256Mi"},
    "defaultRequest": {"cpu": "100m"},
}


def resources(pod: Pod) -> list[tuple[dict[str, str], dict[str, str]]]:
    return [
        (
            {name: str(amount) for name, amount in one.resources.requests.items()},
            {name: str(amount) for name, amount in one.resources.limits.items()},
        )
        for one in pod.spec.containers
    ]


def test_what_a_container_leaves_open_is_filled_in_and_told() -> None:
    stated = {"resources": {"limits": {"cpu": "1"}}}
    pod = within_limits(pod_of({}, stated), [a_range(DEFAULTS)])

    assert resources(pod) == [
        ({"cpu": "100m", "memory": "256Mi"}, {"cpu": "500m", "memory": "256Mi"}),
        # A stated limit is the request too.
        ({"memory": "256Mi"}, {"cpu": "1", "memory": "256Mi"}),
    ]
    assert pod.metadata.annotations[NOTE] == (
        "LimitRanger plugin set: cpu, memory request for container c0; "
        "cpu, memory limit for container c0; memory request for container c1; "
        "memory limit for container c1"
    )
    assert pod.status.qos_class == "Burstable"


def test_without_anything_to_fill_in_a_pod_stays_as_it_is() -> None:
    whole = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    pod = pod_of(whole)
    assert within_limits(pod, [a_range(DEFAULTS)]) is pod
    assert within_limits(pod, []) is pod


def asking(cpu: str, limit: str = "") -> Any:
    limits = {"limits": {"cpu": limit}} if limit else {}
    return {"resources": {"requests": {"cpu": cpu}, **limits}}


@pytest.mark.parametrize(
    ("item", "containers", "why"),
    [
        ({"min": {"cpu": "200m"}}, [asking("100m", "1")],
         "minimum cpu usage per Pod is 200m, but request is 100m"),
        ({"min": {"cpu": "200m"}}, [{}],
         "minimum cpu usage per Pod is 200m.  No request is specified"),
        ({"max": {"cpu": "1"}}, [asking("100m")],
         "maximum cpu usage per Pod is 1.  No limit is specified"),
        ({"max": {"cpu": "1"}}, [asking("100m", "600m")] * 2,
         "maximum cpu usage per Pod is 1, but limit is 1200m"),
        ({"max": {"cpu": "1"}}, [asking("2", "3")],
         "[maximum cpu usage per Pod is 1, but limit is 3, "
         "maximum cpu usage per Pod is 1, but request is 2]"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, [asking("100m", "300m")],
         "cpu max limit to request ratio per Pod is 2, but provided ratio is 3.000000"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, [asking("100m")],
         "cpu max limit to request ratio per Pod is 2, but no limit is specified or limit is 0"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, [{}],
         "cpu max limit to request ratio per Pod is 2, "
         "but no request is specified or request is 0"),
    ],
)  # fmt: skip
def test_what_is_beyond_a_bound_is_refused_with_every_reason(
    item: Any, containers: list[Any], why: str
) -> None:
    with pytest.raises(Forbidden) as caught:
        within_limits(pod_of(*containers), [a_range({"type": "Pod", **item})])
    assert caught.value.message == f'pods "p" is forbidden: {why}'


@pytest.mark.parametrize("kind", ["Container", "Pod"])
def test_bounds_are_of_each_container_or_of_all_together(kind: str) -> None:
    pod = pod_of(asking("600m", "600m"), asking("600m", "600m"))
    limits = [a_range({"type": kind, "max": {"cpu": "1"}})]
    if kind == "Container":
        assert within_limits(pod, limits) is pod
    else:
        with pytest.raises(Forbidden):
            within_limits(pod, limits)


def test_a_bound_that_is_met_exactly_is_kept() -> None:
    item = {"min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "2"}}
    pod = pod_of(asking("1", "2"))
    assert within_limits(pod, [a_range({"type": "Pod", **item})]) is pod


def test_a_default_limit_below_the_stated_request_is_no_valid_pod() -> None:
    with pytest.raises(Invalid, match="must be at most the limit"):
        within_limits(pod_of(asking("2")), [a_range(DEFAULTS)])


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("1Gi", ""),
        ("2Gi", ""),
        ("1000Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1000Mi"),
        ("3Gi", "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
    ],
)
def test_a_claim_is_as_large_as_it_may_be(size: str, why: str) -> None:
    item = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    told = ""
    try:
        check_claim(a_claim(size=size), [a_range(DEFAULTS, item)])
    except Forbidden as error:
        told = error.message
    assert told == (f'persistentvolumeclaims "data" is forbidden: {why}' if why else "")
    # Pods are not asked for storage.
    assert within_limits(pod_of({}), [a_range(item)]) == pod_of({})
