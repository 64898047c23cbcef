"""How far a rollout is: words, bounds and ends are kubectl's."""

from typing import Any

import pytest

from cubectl.objects.rollouts import progress_of
from cubectl.session import Failed
from cubernetes.api.notation.jsontext import Tree

DEPLOYMENT = 'Waiting for deployment "web" rollout to finish:'
DAEMONS = 'Waiting for daemon set "web" rollout to finish:'
PARTITIONED = "Waiting for partitioned roll out to finish:"


def a_tree(kind: str, spec: Tree, /, **status: Any) -> Tree:
    metadata = {"name": "web", "generation": 2}
    status = {"observedGeneration": 2, **status}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": status}


def a_deployment(wanted: int, updated: int, found: int, available: int) -> Tree:
    return a_tree(
        "Deployment", {"replicas": wanted},
        updatedReplicas=updated, replicas=found, availableReplicas=available,
    )  # fmt: skip


def a_statefulset(spec: Tree, **status: Any) -> Tree:
    return a_tree("StatefulSet", {"replicas": 3, **spec}, **{"readyReplicas": 3, **status})


def partitioned(partition: int | None) -> Tree:
    return {"updateStrategy": {"rollingUpdate": {"partition": partition}}}


def daemons(desired: int, updated: int, available: int) -> Tree:
    return a_tree(
        "DaemonSet", {}, desiredNumberScheduled=desired, updatedNumberScheduled=updated,
        numberAvailable=available,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "told", "is_done"),
    [
        (a_deployment(3, 2, 3, 3), f"{DEPLOYMENT} 2 out of 3 new replicas have been", False),
        (a_deployment(3, 3, 5, 3), f"{DEPLOYMENT} 2 old replicas are pending term", False),
        (a_deployment(3, 3, 3, 2), f"{DEPLOYMENT} 2 of 3 updated replicas are available", False),
        (a_deployment(3, 3, 3, 3), 'deployment "web" successfully rolled out', True),
        (a_deployment(0, 0, 0, 0), 'deployment "web" successfully rolled out', True),
        (a_tree("Deployment", {}), f"{DEPLOYMENT} 0 out of 1 new replicas", False),
        (a_statefulset({}, readyReplicas=1), "Waiting for 2 pods to be ready...", False),
        (a_tree("StatefulSet", {}), "Waiting for 1 pods to be ready...", False),
        (
            a_statefulset(partitioned(1), updatedReplicas=1),
            f"{PARTITIONED} 1 out of 2 new pods have been updated...",
            False,
        ),
        (
            a_statefulset(partitioned(2), updatedReplicas=1),
            "partitioned roll out complete: 1 new pods have been updated...",
            True,
        ),
        (
            a_statefulset(partitioned(None), currentReplicas=3),
            "statefulset rolling update complete 3 pods at revision ...",
            True,
        ),
        (
            a_statefulset({}, updatedReplicas=1, updateRevision="b", currentRevision="a"),
            "waiting for statefulset rolling update to complete 1 pods at revision b...",
            False,
        ),
        (
            a_statefulset({}, updateRevision="b"),
            "waiting for statefulset rolling update to complete 0 pods at revision b...",
            False,
        ),
        (
            a_statefulset({}, currentReplicas=2, updateRevision="b", currentRevision="b"),
            "statefulset rolling update complete 2 pods at revision b...",
            True,
        ),
        (daemons(3, 2, 3), f"{DAEMONS} 2 out of 3 new pods have been updated...", False),
        (daemons(3, 3, 2), f"{DAEMONS} 2 of 3 updated pods are available...", False),
        (daemons(3, 3, 3), 'daemon set "web" successfully rolled out', True),
        (a_tree("DaemonSet", {}), 'daemon set "web" successfully rolled out', True),
    ],
)
def test_a_rollout_is_told_with_its_counts(tree: Tree, told: str, is_done: bool) -> None:
    text, found = progress_of(tree)

    assert (text[: len(told)], found) == (told, is_done)


@pytest.mark.parametrize(
    ("kind", "noun"),
    [("Deployment", "deployment"), ("StatefulSet", "statefulset"), ("DaemonSet", "daemon set")],
)
def test_a_change_that_no_controller_has_seen_is_told_before_any_count(
    kind: str, noun: str
) -> None:
    waits = (f"Waiting for {noun} spec update to be observed...", False)

    assert progress_of(a_tree(kind, {}, observedGeneration=1)) == waits
    nothing: tuple[Any, ...] = ({}, None)
    for status in nothing:
        assert progress_of({**a_tree(kind, {}), "status": status}) == waits
    seen = a_tree(kind, {"replicas": 0}) | {"metadata": {"name": "web"}, "status": None}
    assert progress_of(seen)[1] is True


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_workload_that_waits_for_others_is_refused_whatever_its_counts(kind: str) -> None:
    spec: Tree = {"replicas": 0, "updateStrategy": {"type": "OnDelete"}}
    with pytest.raises(
        Failed, match=r"^rollout status is only available for RollingUpdate strategy type$"
    ):
        progress_of(a_tree(kind, spec, observedGeneration=1))
    for strategy in ({"type": "RollingUpdate"}, {}, None):
        assert progress_of(a_tree(kind, {"replicas": 0, "updateStrategy": strategy}))[1] is True


def test_a_deployment_past_its_deadline_is_refused_where_its_spec_was_seen() -> None:
    late = {"reason": "ProgressDeadlineExceeded"}
    for conditions in ([late], [{"reason": "Other"}, {}, late]):
        tree = a_tree("Deployment", {}, conditions=conditions)
        with pytest.raises(Failed, match=r'^deployment "web" exceeded its progress deadline$'):
            progress_of(tree)
    unseen = a_tree("Deployment", {}, observedGeneration=1, conditions=[late])
    assert progress_of(unseen)[1] is False
    assert progress_of(a_tree("Deployment", {"replicas": 0}, conditions=[{}]))[1] is True
