"""Which pods a drain takes away: each rule by itself, the order of the rules, and the sentences."""

from typing import Any

import pytest

from cubectl.verbs.nodes.choice import (
    OF_DAEMONS,
    UNMANAGED,
    WITH_FILES,
    Allowed,
    Choice,
    choice_of,
    place_of,
    told_of,
)
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.selectors import parse

FILES = {"volumes": [{"name": "a", "configMap": {}}, {"name": "b", "emptyDir": {}}]}
MIRROR: Tree = {"annotations": {"kubernetes.io/config.mirror": "x"}}
NOTHING = Allowed()
ALL = Allowed(is_forced=True, are_daemons_ignored=True, are_files_given_up=True)


def a_pod(name: str = "web", *, spec: Any = None, phase: str = "Running", **metadata: Any) -> Tree:
    told = {"name": name, "namespace": "shop", **metadata}
    return {"metadata": told, "spec": spec or {}, "status": {"phase": phase}}


def owned(kind: str = "ReplicaSet") -> Tree:
    return {"ownerReferences": [{"kind": "Node"}, {"kind": kind, "name": "x", "controller": True}]}


def chosen(*pods: Tree, allowed: Allowed = NOTHING, is_daemonset: bool = True) -> Choice:
    def there(namespace: str, name: str) -> bool:
        assert (namespace, name) == ("shop", "x")
        return is_daemonset

    return choice_of(pods, allowed, there)


def going(pod: Tree, **warnings: str) -> Choice:
    return Choice([pod], {}, {sentence: ["shop/web"] for sentence in warnings.values()})


def forbidden(obstacle: str) -> Choice:
    return Choice([], {obstacle: ["shop/web"]}, {})


@pytest.mark.parametrize(
    ("facts", "needed", "obstacle", "warning"),
    [
        ({}, Allowed(is_forced=True), UNMANAGED, "deleting Pods that declare no controller"),
        (
            {"spec": FILES, **owned()}, Allowed(are_files_given_up=True), WITH_FILES,
            "deleting Pods with local storage",
        ),
    ],
)  # fmt: skip
def test_what_is_lost_goes_only_where_its_option_allows_it(
    facts: Any, needed: Allowed, obstacle: str, warning: str
) -> None:
    pod = a_pod(**facts)

    assert chosen(pod) == forbidden(obstacle)
    assert chosen(pod, allowed=needed) == going(pod, warning=warning)
    others = Allowed(not needed.is_forced, True, not needed.are_files_given_up)
    assert chosen(pod, allowed=others) == forbidden(obstacle)


def test_a_managed_pod_goes_without_a_word() -> None:
    pod = a_pod(**owned())
    for one in (pod, a_pod(**owned(), spec={"volumes": [{"name": "a", "configMap": {}}]})):
        assert chosen(one) == going(one)
        assert chosen(one, allowed=ALL) == going(one)


def test_an_owner_that_is_no_controller_manages_nothing() -> None:
    for owners in (None, [], [{"kind": "ReplicaSet", "name": "x"}]):
        assert chosen(a_pod(ownerReferences=owners)) == forbidden(UNMANAGED)


def test_pods_of_daemons_stay_and_are_in_the_way_unless_they_are_ignored() -> None:
    for spec in ({}, FILES):
        pod = a_pod(spec=spec, **owned("DaemonSet"))
        assert chosen(pod) == forbidden(OF_DAEMONS)
        assert chosen(pod, allowed=Allowed(are_daemons_ignored=True)) == Choice(
            [], {}, {"ignoring DaemonSet-managed Pods": ["shop/web"]}
        )


def test_a_pod_whose_daemons_are_gone_is_a_pod_that_nobody_makes_again() -> None:
    pod = a_pod(**owned("DaemonSet"))

    assert chosen(pod, is_daemonset=False) == forbidden(UNMANAGED)
    assert chosen(pod, is_daemonset=False, allowed=Allowed(is_forced=True)) == going(
        pod, warning="deleting Pods that declare no controller"
    )


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@pytest.mark.parametrize("facts", [{}, {"spec": FILES}, owned("DaemonSet")])
def test_a_pod_that_is_over_goes_whatever_it_is(phase: str, facts: Any) -> None:
    pod = a_pod(phase=phase, **facts)
    assert chosen(pod) == going(pod)


def test_a_pod_without_a_status_is_not_over() -> None:
    nothing: tuple[Any, ...] = ({}, None)
    for status in nothing:
        assert chosen({**a_pod(), "status": status}) == forbidden(UNMANAGED)


@pytest.mark.parametrize("facts", [{}, {"phase": "Failed"}, {"spec": FILES}, owned("Node")])
def test_a_mirror_of_a_file_of_the_node_is_left_without_a_word(facts: Any) -> None:
    assert chosen(a_pod(**MIRROR, **facts)) == Choice([], {}, {})


def test_annotations_and_volumes_may_be_absent() -> None:
    absent: tuple[Any, ...] = (None, {})
    for nothing in absent:
        pod = a_pod(annotations=nothing, **owned(), spec={"volumes": nothing})
        assert chosen(pod) == going(pod)


def test_only_pods_that_are_selected_are_looked_at() -> None:
    allowed = Allowed(pods=parse("app=web"))
    shop = a_pod("a", labels={"app": "web"}, **owned())
    others = [a_pod("b", labels={"app": "db"}), a_pod("c", labels=None), a_pod("d")]

    assert chosen(*others, shop, *others, allowed=allowed) == Choice([shop], {}, {})


def test_every_pod_is_told_of_in_the_order_of_the_list() -> None:
    bare, held = a_pod("a"), a_pod("b", spec=FILES, **owned())
    last, fine = a_pod("c"), a_pod("d", **owned())

    choice = chosen(bare, held, last, fine)
    assert choice == Choice([fine], {UNMANAGED: ["shop/a", "shop/c"], WITH_FILES: ["shop/b"]}, {})
    assert told_of(choice.obstacles) == [
        "cannot delete Pods that declare no controller (use --force to override): shop/a, shop/c",
        "cannot delete Pods with local storage (use --delete-emptydir-data to override): shop/b",
    ]
    assert list(chosen(bare, held, last, fine, allowed=ALL).going) == [bare, held, last, fine]


def test_a_pod_without_a_namespace_is_told_all_the_same() -> None:
    assert place_of({"metadata": {"name": "web"}}) == "/web"
