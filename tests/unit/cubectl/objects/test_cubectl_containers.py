"""Changes of containers: which are meant, what is changed in them, and what stays."""

from typing import Any

import pytest

from cubectl.objects.containers import (
    ALL,
    with_containers,
    with_images,
    with_resources,
    with_variables,
)
from cubectl.session import Failed
from cubernetes.api.notation.jsontext import Tree


def a_container(name: str, **fields: Any) -> Tree:
    return {"name": name, "image": f"{name}:1", **fields}


def a_pod(*containers: Tree) -> Tree:
    return {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": list(containers)}}


def containers_of(tree: Tree) -> Any:
    return tree["spec"]["containers"]


def marked(one: Tree) -> Tree:
    return {**one, "marked": True}


WEB, LOG = a_container("web"), a_container("log")


def test_containers_are_changed_by_name_and_a_star_means_all() -> None:
    pod = a_pod(WEB, LOG)

    assert with_containers(pod, ["log"], marked) == a_pod(WEB, marked(LOG))
    assert with_containers(pod, [ALL], marked) == a_pod(marked(WEB), marked(LOG))
    assert with_containers(pod, ["log", ALL], marked) == a_pod(marked(WEB), marked(LOG))
    assert with_containers(pod, [], marked) == pod
    assert pod == a_pod(WEB, LOG)


def test_a_template_is_changed_where_it_stands_and_all_beside_it_stays() -> None:
    inner, changed = {"metadata": {"a": "b"}, **a_pod(WEB)}, a_pod(marked(WEB))
    workload = {"kind": "Deployment", "spec": {"replicas": 2, "template": inner}}
    new = {"kind": "Deployment", "spec": {"replicas": 2, "template": changed}}

    assert with_containers(workload, ["web"], marked) == new
    times = {"kind": "CronJob", "spec": {"schedule": "* * * * *", "jobTemplate": workload}}
    assert with_containers(times, ["web"], marked) == {
        "kind": "CronJob", "spec": {"schedule": "* * * * *", "jobTemplate": new},
    }  # fmt: skip


@pytest.mark.parametrize("tree", [a_pod(WEB, LOG), {"spec": {"template": a_pod(WEB, LOG)}}])
def test_of_names_that_are_not_there_the_first_is_told(tree: Tree) -> None:
    with pytest.raises(Failed, match=r'^unable to find container named "a"$'):
        with_containers(tree, ["web", "b", "a"], marked)
    with pytest.raises(Failed, match='"b"'):
        with_containers(tree, [ALL, "b"], marked)


@pytest.mark.parametrize("tree", [{}, {"spec": None}, {"spec": {"containers": None}}, a_pod()])
def test_all_of_no_containers_is_refused(tree: Tree) -> None:
    with pytest.raises(Failed, match=r'^unable to find container named "\*"$'):
        with_containers(tree, [ALL], marked)


def test_an_image_by_name_goes_before_that_for_all() -> None:
    pod = a_pod(WEB, LOG)

    assert with_images(pod, {"web": "w:2"}) == a_pod(a_container("web") | {"image": "w:2"}, LOG)
    images = [one["image"] for one in containers_of(with_images(pod, {"*": "x:2", "web": "w:2"}))]
    assert images == ["w:2", "x:2"]


def a_value(name: str, value: str) -> Tree:
    return {"name": name, "value": value}


def test_variables_are_changed_in_place_taken_away_and_added_at_the_end() -> None:
    secret = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s"}}}
    pod = a_pod(a_container("web", env=[a_value("A", "1"), secret, a_value("B", "2")]), LOG)

    changed = with_variables(pod, "web", {"C": "3", "A": "9", "B": None, "D": None})

    assert containers_of(changed) == [
        a_container("web", env=[a_value("A", "9"), secret, a_value("C", "3")]), LOG,
    ]  # fmt: skip
    (web, _) = containers_of(with_variables(pod, "web", {"KEY": ""}))
    assert web["env"][1] == a_value("KEY", "")


def test_a_container_without_variables_gets_a_list_only_where_one_is_added() -> None:
    pod = a_pod(a_container("a"), a_container("b", env=None), a_container("c", env=[]))

    assert with_variables(pod, ALL, {"X": None}) == pod
    assert [one["env"] for one in containers_of(with_variables(pod, ALL, {"X": "1"}))] == [
        [a_value("X", "1")]
    ] * 3
    last = a_pod(a_container("a", env=[a_value("X", "1")]))
    assert containers_of(with_variables(last, "a", {"X": None})) == [a_container("a", env=[])]


def test_limits_and_requests_are_added_to_those_that_are_there() -> None:
    held = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    pod = a_pod(a_container("web", resources=held), LOG)

    assert containers_of(with_resources(pod, "web", {"cpu": "2"}, {"memory": "1Mi"})) == [
        a_container("web", resources={
            "limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Mi"},
        }),
        LOG,
    ]  # fmt: skip


@pytest.mark.parametrize("held", [{}, None, {"limits": None}])
def test_of_limits_and_requests_only_what_is_told_is_there(held: object) -> None:
    pod = a_pod(a_container("web", resources=held))

    (web,) = containers_of(with_resources(pod, "web", {"cpu": "1"}, {}))
    assert web == a_container("web", resources={"limits": {"cpu": "1"}})
    (web,) = containers_of(with_resources(pod, "web", {}, {"cpu": "1"}))
    assert web == a_container("web", resources={"requests": {"cpu": "1"}})
