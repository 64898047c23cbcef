"""`cubectl drain`, `cordon` and `uncordon`: words, codes and choices are kubectl's."""

import pytest

from cubectl.api import JSON
from cubectl.connection.transport import Answer
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import EmptyDir, Volume
from cubernetes.api.errors import TooManyRequests
from cubernetes.api.meta import OwnerReference, replaced
from tests.daemons import a_daemonset
from tests.given import a_node, a_pod, a_replicaset
from tests.unit.cubectl.tinyserver import TinyServer, run

NODE = "/api/v1/nodes/n1"
PODS = "/api/v1/namespaces/default/pods"
VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


def owned(name: str, node: str = "n1", **facts: object) -> Pod:
    return a_pod(name, node=node, phase="Running", owner=a_replicaset(), **facts)  # type: ignore[arg-type]


def with_files(pod: Pod) -> Pod:
    volume = Volume(name="data", empty_dir=EmptyDir())
    return replaced(pod, spec=replaced(pod.spec, volumes=(volume,)))


def of_daemons(pod: Pod) -> Pod:
    owner = OwnerReference(
        api_version="apps/v1", kind="DaemonSet", name="agent", uid="uid-agent", controller=True
    )
    return replaced(pod, metadata=replaced(pod.metadata, owner_references=(owner,)))


class Budgeted(TinyServer):
    """Refuses the first evictions of a pod, as its budget does until another is ready."""

    def __init__(self, *objects: Pod, refused: int) -> None:
        super().__init__(a_node(), *objects)
        self.left = refused

    def send(
        self, method: str, target: str, *, body: bytes = b"", media: str = "", accept: str = JSON
    ) -> Answer:
        path = target.partition("?")[0]
        self.refusals.clear()
        if path.endswith("web-0/eviction") and self.left:
            self.left -= 1
            self.refusals["POST", path] = TooManyRequests(VIOLATED)
        return super().send(method, target, body=body, media=media, accept=accept)


def test_a_node_is_cordoned_and_emptied_of_its_own_pods_alone() -> None:
    server = TinyServer(a_node(), owned("web-0"), owned("web-1", node="n2"))

    said = run(server, "drain n1")

    assert said.code == 0
    assert said.out.splitlines() == [
        "node/n1 cordoned",
        "evicting pod default/web-0",
        "pod/web-0 evicted",
        "node/n1 drained",
    ]
    assert server.trees[NODE]["spec"]["unschedulable"] is True
    assert list(server.trees) == [NODE, f"{PODS}/web-1"]


@pytest.mark.parametrize(
    ("pod", "option", "told"),
    [
        (a_pod("web-0", node="n1"), "--force", "cannot delete Pods that declare no controller"),
        (with_files(owned("web-0")), "--delete-emptydir-data", "Pods with local storage"),
    ],
)
def test_what_would_be_lost_is_named_and_goes_only_where_that_is_allowed(
    pod: Pod, option: str, told: str
) -> None:
    server = TinyServer(a_node(), pod, owned("web-1"))

    refused = run(server, "drain n1")
    assert (refused.code, len(server.trees)) == (1, 3)
    assert told in refused.err
    assert "default/web-0" in refused.err
    assert "web-1" not in refused.err

    allowed = run(server, f"drain n1 {option}")
    assert (allowed.code, list(server.trees)) == (0, [NODE])
    assert "warning: deleting Pods" in allowed.err


def test_a_finished_pod_goes_whatever_it_is() -> None:
    server = TinyServer(a_node(), a_pod("web-0", node="n1", phase="Succeeded"))

    assert (run(server, "drain n1").code, list(server.trees)) == (0, [NODE])


def test_pods_whose_daemonset_is_gone_are_nobodys() -> None:
    server = TinyServer(a_node(), of_daemons(owned("agent-1")))

    assert "declare no controller" in run(server, "drain n1").err
    assert (run(server, "drain n1 --force").code, list(server.trees)) == (0, [NODE])


def test_pods_of_daemonsets_are_left_where_that_is_allowed() -> None:
    server = TinyServer(
        a_node(), a_daemonset("agent"), of_daemons(owned("agent-1")), owned("web-0")
    )

    refused = run(server, "drain n1")
    assert refused.code == 1
    assert "cannot delete DaemonSet-managed Pods" in refused.err

    allowed = run(server, "drain n1 --ignore-daemonsets")
    assert allowed.code == 0
    assert "ignoring DaemonSet-managed Pods: default/agent-1" in allowed.err
    assert [path for path in server.trees if path.startswith(PODS)] == [f"{PODS}/agent-1"]


def test_a_budget_that_refuses_is_asked_again_while_the_others_go() -> None:
    server = Budgeted(owned("web-0"), owned("web-1"), refused=2)

    said = run(server, "drain n1")

    assert (said.code, list(server.trees)) == (0, [NODE])
    assert said.err.count(f'pods/"web-0" -n "default" (will retry after 5s): {VIOLATED}') == 2
    assert said.out.splitlines()[-1] == "node/n1 drained"


def test_a_drain_that_takes_too_long_ends_and_says_what_is_left() -> None:
    server = Budgeted(owned("web-0"), refused=1000)

    said = run(server, "drain n1 --timeout 40s")

    assert said.code == 1
    assert 'unable to drain node "n1": default/web-0: global timeout reached: 40s' in said.err
    assert "drained" not in said.out


def test_without_evictions_no_budget_is_asked() -> None:
    server = Budgeted(owned("web-0"), refused=1000)

    said = run(server, "drain n1 --disable-eviction --grace-period 1")

    assert (said.code, list(server.trees)) == (0, [NODE])
    assert "pod/web-0 deleted" in said.out


def test_only_chosen_pods_go() -> None:
    server = TinyServer(a_node(), owned("web-0"), owned("db-0", labels={"app": "db"}))

    assert run(server, "drain n1 --pod-selector app=db").code == 0
    assert list(server.trees) == [NODE, f"{PODS}/web-0"]


def test_a_rehearsal_changes_nothing() -> None:
    server = TinyServer(a_node(), owned("web-0"))

    said = run(server, "drain n1 --dry-run")

    assert said.code == 0
    assert said.out.splitlines()[-1] == "node/n1 drained (dry run)"
    assert list(server.trees) == [NODE, f"{PODS}/web-0"]
    assert "unschedulable" not in server.trees[NODE]["spec"]


def test_nodes_are_cordoned_and_uncordoned_once() -> None:
    server = TinyServer(a_node(), a_node("n2", labels={"disk": "ssd"}))

    assert run(server, "cordon n1 n2").out.splitlines() == ["node/n1 cordoned", "node/n2 cordoned"]
    assert run(server, "cordon node/n1").out == "node/n1 already cordoned\n"
    assert run(server, "uncordon -l disk=ssd").out == "node/n2 uncordoned\n"
    assert run(server, "uncordon n2").out == "node/n2 already uncordoned\n"
    assert "unschedulable" not in server.trees["/api/v1/nodes/n2"]["spec"]
    assert run(server, "cordon n3").code == 1
    assert run(server, "cordon").code == 2
    assert run(server, "drain n1 --grace-period -2").code == 2
