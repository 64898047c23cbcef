"""What `get` and `describe` print, to the letter."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cubernetes.api.coding import codec
from cubernetes.api.core.podspec.container import Resources
from cubernetes.api.meta import ObjectMeta, replaced
from cubernetes.api.notation import yaml
from cubernetes.api.quantities import Quantity
from tests.given import NOW, a_container, a_node, a_pod, a_replicaset, a_service, a_slice
from tests.unit.cubectl.tinyserver import TinyServer, run

PODS = """\
NAME     READY   STATUS    RESTARTS   AGE
web-0    1/1     Running   0          60m
web-10   0/1     Pending   0          60m
"""
WIDE = """\
NAME     READY   STATUS    RESTARTS   AGE   IP           NODE     NOMINATED NODE   READINESS GATES
web-0    1/1     Running   0          60m   10.244.1.2   n1       <none>           <none>
web-10   0/1     Pending   0          60m   <none>       <none>   <none>           <none>
"""
EVERYWHERE = """\
NAMESPACE   NAME     READY   STATUS    RESTARTS   AGE   LABELS
default     web-0    1/1     Running   0          60m   app=web
default     web-10   0/1     Pending   0          60m   app=web
other       db       0/1     Pending   0          60m   app=web
"""
MIXED = """\
NAME         READY   STATUS    RESTARTS   AGE
pod/web-0    1/1     Running   0          60m
pod/web-10   0/1     Pending   0          60m

NAME          TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE
service/web   ClusterIP   10.96.0.10   <none>        80/TCP    60m
"""


@pytest.fixture
def server() -> TinyServer:
    return TinyServer(
        a_pod("web-0", node="n1", phase="Running", is_ready=True, ip="10.244.1.2"),
        a_pod("web-10"),
        a_pod("db", namespace="other"),
        a_service("web"),
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("get pods", PODS),
        ("get po", PODS),
        ("get Pod", PODS),
        ("-n default get POD", PODS),
        ("get pods -o wide", WIDE),
        ("get -o wide pods", WIDE),
        ("get pods --show-labels -A", EVERYWHERE),
        ("get po,svc", MIXED),
        ("get all", MIXED),
        ("get pods -l app=web", PODS),
        ("get pods web-0 -o name web-10", "pod/web-0\npod/web-10\n"),
        ("get pod/web-0 svc/web -o name", "pod/web-0\nservice/web\n"),
        ("get pods --no-headers web-10", "web-10   0/1   Pending   0   60m\n"),
    ],
)
def test_tables_and_names(server: TinyServer, line: str, text: str) -> None:
    said = run(server, line)

    assert (said.out, said.err, said.code) == (text, "", 0)


def test_what_is_not_there_is_told_and_the_rest_is_shown(server: TinyServer) -> None:
    said = run(server, "get pods web-0 gone -o name")

    assert said.out == "pod/web-0\n"
    assert said.err == 'cubectl: pods "gone" not found\n'
    assert said.code == 1


def test_nothing_is_said_beside_the_answer(server: TinyServer) -> None:
    said = run(server, "get rs -n other")

    assert (said.out, said.err, said.code) == (
        "",
        "cubectl: no replicasets in namespace other\n",
        0,
    )


@pytest.mark.parametrize(
    "line",
    [
        "get", "get nonsense", "get pods x -A", "get pods x -l a=b", "get po,svc x", "get po svc/x",
        "get pods,svc -w", "get pods -o csv", "get pods --unknown", "frobnicate", "get pod/a/b",
        "get pods --request-timeout soon",
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_a_two(server: TinyServer, line: str) -> None:
    said = run(server, line)

    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("cubectl: ")
    assert said.err.count("\n") == 1
    assert server.asked == []


def test_a_terminal_cuts_lines_and_a_pipe_does_not(server: TinyServer) -> None:
    narrow = run(server, "get pods -o wide", columns=20).out.splitlines()

    assert [len(line) for line in narrow] == [20, 20, 20]
    assert all(line.endswith("…") for line in narrow)
    assert run(server, "get pods -o wide").out == WIDE


def test_t31_a_table_holds_nothing_that_commands_a_terminal() -> None:
    nasty = "x\x1b]0;title\x07\r\u202e\u2028y"
    pod = a_pod("web-0")
    evil = replaced(pod, status=replaced(pod.status, reason=nasty, phase="Failed"))

    for line in ("get pods", "describe pods", "get pods -o yaml", "get pods -o json"):
        text = run(TinyServer(evil), line).out
        assert "".join(text.split("\n")).isprintable()
    assert "x\\x1b]0;title\\x07\\r\\u202e\\u2028y" in run(TinyServer(evil), "get pods").out


def test_a_clock_that_is_behind_shows_no_negative_age() -> None:
    future = a_pod("web-0", created_at=NOW + timedelta(days=1))

    assert run(TinyServer(future), "get pods").out.splitlines()[1].endswith(" 0s")


def test_json_and_yaml_hold_what_the_server_said(server: TinyServer) -> None:
    one = json.loads(run(server, "get pod web-0 -o json").out)
    several = json.loads(run(server, "get pods -o json").out)
    spelled = run(server, "get pod web-0 -o yaml").out

    assert one == server.trees["/api/v1/namespaces/default/pods/web-0"]
    assert (several["kind"], len(several["items"])) == ("List", 2)
    assert yaml.tree_of(spelled.encode()) == one


@pytest.mark.parametrize(
    "text",
    ["010", "1e9", "12:30", "yes", "no", "null", "~", "1.5", "0x1f", "", "a\nb", "- x", "é", "1_0"],
)
def test_a_text_stays_a_text_in_yaml(text: str) -> None:
    pod = a_pod("web-0")
    noted = replaced(pod, metadata=replaced(pod.metadata, annotations={"note": text}))

    spelled = run(TinyServer(noted), "get pod web-0 -o yaml").out

    assert yaml.tree_of(spelled.encode())["metadata"]["annotations"]["note"] == text


def test_a_newer_servers_fields_do_not_stop_an_older_client(server: TinyServer) -> None:
    server.trees["/api/v1/namespaces/default/pods/web-0"]["spec"]["invention"] = {"a": 1}

    assert run(server, "get pods").out == PODS


def test_a_watch_prints_what_is_and_then_each_change(server: TinyServer) -> None:
    pod = server.trees["/api/v1/namespaces/default/pods/web-10"]
    running = {**pod, "metadata": {**pod["metadata"], "resourceVersion": "200"},
               "status": {"phase": "Running"}}  # fmt: skip
    mark = {"metadata": {"resourceVersion": "201"}}
    server.changes = [("MODIFIED", running), ("BOOKMARK", mark)]

    said = run(server, "get pods -w")

    assert said.out == PODS + "web-10   0/1     Running   0          60m\n"
    assert said.code == 130
    # The next watch begins where the bookmark was.
    assert "resourceVersion=201" in server.asked[-1][1]


def test_a_watch_tells_what_happened_where_that_is_asked_for(server: TinyServer) -> None:
    pod = server.trees["/api/v1/namespaces/default/pods/web-10"]
    gone = {**pod, "metadata": {**pod["metadata"], "resourceVersion": "200"}}
    server.changes = [("DELETED", gone)]

    said = run(server, "get pods -w --output-watch-events --no-headers")

    assert said.out == (
        "ADDED   web-0    1/1   Running   0   60m\n"
        "ADDED   web-10   0/1   Pending   0   60m\n"
        "DELETED   web-10   0/1     Pending   0          60m\n"
    )
    server.changes = [("DELETED", gone)]
    told = run(server, "get pods -w --output-watch-events -o json").out
    events = [json.loads(f"{{{one}") for one in told.split("\n{")[1:]]
    first = json.loads(told.split("\n{")[0])
    assert [one["type"] for one in (first, *events)] == ["ADDED", "ADDED", "DELETED"]
    assert events[-1]["object"]["metadata"]["name"] == "web-10"

    assert run(server, "get pods --output-watch-events").code == 2


@pytest.mark.parametrize("form", ["", " -o json"])
def test_a_watch_whose_history_is_gone_tells_what_happened_and_nothing_twice(
    server: TinyServer, form: str
) -> None:
    """Before: new came, web-0 changed, other went; unseen: web-10 changed and went is no more."""
    place = "/api/v1/namespaces/default/pods/"
    server.keep(codec.to_tree(a_pod("went")))
    server.keep(codec.to_tree(a_pod("other")))
    old = dict(server.trees)
    server.keep(codec.to_tree(a_pod("new")))
    server.keep({**old[place + "web-0"], "metadata": dict(old[place + "web-0"]["metadata"])})
    now, server.trees = server.trees, old
    server.changes = [
        ("ADDED", now[place + "new"]),
        ("MODIFIED", now[place + "web-0"]),
        ("DELETED", old[place + "other"]),
        ("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}),
    ]
    stream = server.stream

    def streamed(target: str, **more: Any) -> Any:
        server.trees = {
            path: tree for path, tree in now.items() if path[-4:] not in ("went", "ther")
        }
        server.keep({**now[place + "web-10"], "metadata": dict(now[place + "web-10"]["metadata"])})
        return stream(target, **more)

    server.stream = streamed  # type: ignore[method-assign]
    out = run(server, f"get pods -w --output-watch-events --no-headers{form}").out
    if form:
        events = [json.loads(one) for one in re.split(r"\n(?={)", out)]
        told = [f"{one['type']} {one['object']['metadata']['name']}" for one in events]
    else:
        told = [" ".join(line.split()[:2]) for line in out.splitlines()]

    assert told == [
        "ADDED other", "ADDED web-0", "ADDED web-10", "ADDED went",
        "ADDED new", "MODIFIED web-0", "DELETED other",
        "DELETED went", "MODIFIED web-10",
    ]  # fmt: skip


def test_templates_stand_in_the_line_or_in_a_file(server: TinyServer, tmp_path: Path) -> None:
    text = "{{range .items}}{{.metadata.name}}={{.status.phase}};{{end}}"
    (tmp_path / "names").write_text(text)
    names = "web-0=Running;web-10=Pending;"

    assert run(server, f"get pods -o go-template-file={tmp_path}/names").out == names
    assert run(server, "get pod web-0 -o go-template={{.metadata.name}}").out == "web-0"
    (tmp_path / "path").write_text("{.items[*].metadata.name}")
    assert run(server, f"get pods -o jsonpath-file={tmp_path}/path").out == "web-0 web-10"

    wrong = run(server, "get pods -o go-template={{.items")
    assert (wrong.code, "unclosed action" in wrong.err) == (2, True)
    wrong = run(server, "get pods -o go-template={{.kind.name}}")
    assert (wrong.code, "can't evaluate field name" in wrong.err) == (1, True)
    assert run(server, "get pods -o go-template-file=/absent").code == 2


def test_a_watch_of_one_object_asks_for_it_alone(server: TinyServer) -> None:
    said = run(server, "get pod web-0 -w -o name")

    assert said.out == "pod/web-0\n"
    assert all("metadata.name%3Dweb-0" in path for _, path in server.asked)


def test_a_new_namespace_is_not_confused_with_all_of_them(server: TinyServer) -> None:
    run(server, "get nodes,ns -n other")

    assert [path.partition("?")[0] for _, path in server.asked] == [
        "/api/v1/nodes",
        "/api/v1/namespaces",
    ]


DESCRIBED = """\
Name:           web
Namespace:      default
Labels:         <none>
Annotations:    <none>
UID:            uid-web
Created:        2025-01-01T11:00:00Z (60m ago)
Spec:
  Type:                     ClusterIP
  Selector:                 app=web
  Ports:
    - Port:         80
      Protocol:     TCP
      Target Port:  8080
  Cluster IP:               10.96.0.10
  Cluster IPs:              10.96.0.10
  Internal Traffic Policy:  Cluster
  Session Affinity:         None
  Ip Families:              IPv4
  Ip Family Policy:         SingleStack
Status:
  Load Balancer:  {}
Endpoint Slices:
  NAME    ADDRESSTYPE   PORTS   ENDPOINTS    AGE
  web-1   IPv4          8080    10.244.1.2   60m
Events:         <none>
"""


def test_describe_tells_all_in_words() -> None:
    server = TinyServer(a_service("web").defaulted(), a_slice("web-1", addresses=["10.244.1.2"]))

    assert run(server, "describe svc web").out == DESCRIBED


def test_describe_shows_events_and_hides_what_apply_notes() -> None:
    from cubernetes.api.core.event import Event, ObjectReference
    from cubernetes.api.patches.threeway import LAST_APPLIED

    pod = a_pod("web-0")
    noted = replaced(pod, metadata=replaced(pod.metadata, annotations={LAST_APPLIED: "{}"}))
    event = Event(
        metadata=ObjectMeta(name="e", namespace="default"),
        involved_object=ObjectReference(kind="Pod", name="web-0", uid=pod.metadata.uid),
        reason="Failed",
        type="Warning",
        message="cannot pull\x1b[31m",
        count=3,
        last_timestamp=NOW - timedelta(seconds=30),
    )
    said = run(TinyServer(noted, event), "describe pod/web-0")

    assert "  30s         Warning   Failed   3x   cannot pull\\x1b[31m\n" in said.out
    assert "last-applied" not in said.out


def test_describe_of_owners_shows_their_pods() -> None:
    server = TinyServer(a_replicaset("web"), a_pod("web-0", node="n1"), a_node("n1"))

    assert "web-0   0/1     Pending" in run(server, "describe rs web").out
    assert "web-0   0/1     Pending" in run(server, "describe node n1").out


def test_describe_of_a_node_shows_what_of_it_is_given_away() -> None:
    gpu = {"example.com/gpu": Quantity("2")}
    node = a_node("n1")
    amounts = {**node.status.allocatable, **gpu}
    node = replaced(node, status=replaced(node.status, allocatable=amounts))
    one = replaced(a_container(cpu="250m", memory="1Gi"), resources=Resources(limits=gpu))
    over = a_pod("over", node="n1", containers=[one], phase="Succeeded")
    server = TinyServer(node, over, a_pod("web-0", node="n1", containers=[one]))

    said = run(server, "describe node n1").out
    assert "Allocated resources:\n  RESOURCE          REQUESTS   ALLOCATABLE\n" in said
    assert "  example.com/gpu   2          2\n" in said
    assert "  cpu               0m         4000m\n" in said
