"""The stock kubectl against our API server: a judge that knows nothing of us."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cubernetes.api.meta import Object
from cubernetes.api.registry import KINDS
from cuberoot import pki
from cuberoot.program import Identity
from tests.e2e.walk import SETS, STEPS
from tests.ports import free_port

READY_DEADLINE_S = 120.0
COMMAND_DEADLINE_S = 120.0
MARK = "/version"
MANIFEST = """\
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "busybox:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


class Kubectl:
    def __init__(self, folder: Path, port: int, argv: Sequence[str] = ("kubectl",)) -> None:
        self._folder = folder
        self._port = port
        self._argv = argv

    def ours(self) -> "Kubectl":
        """Return cubectl, with the same configuration."""
        return Kubectl(self._folder, self._port, (sys.executable, "-m", "cubectl"))

    def __call__(self, *argv: str, text: str = "", code: int = 0) -> str:
        """Run kubectl; return what it wrote, to either end. The exit code must be `code`."""
        done = subprocess.run(
            [*self._argv, f"--kubeconfig={self._folder}/config", *argv],
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
            env={**os.environ, "HOME": str(self._folder)},
        )
        told = done.stdout + done.stderr
        assert done.returncode == code, told
        return told

    @property
    def minor(self) -> int:
        """Return the 32 of its version 1.32."""
        told = json.loads(self("version", "--client", "-o", "json"))
        return int(told["clientVersion"]["minor"].rstrip("+"))

    @property
    def is_old(self) -> bool:
        """Before 1.27 kubectl knows OpenAPI v2 alone, and explains fields in another form."""
        return self.minor < 27

    def apply(self, text: str, code: int = 0) -> str:
        return self._send("apply", text, code)

    def create(self, text: str) -> str:
        return self._send("create", text)

    def _send(self, verb: str, text: str, code: int = 0) -> str:
        return self(verb, "-f", "-", text=text, code=code)

    @contextmanager
    def controllers(self) -> Iterator[None]:
        """Let the controllers run beside the server."""
        argv = [sys.executable, "-m", "controllers", "--settings"]
        with (self._folder / "controllers.log").open("wb") as log:
            program = subprocess.Popen([*argv, str(self._folder / "controllers.json")], stderr=log)
        try:
            yield
        finally:
            program.terminate()
            ended = program.wait(READY_DEADLINE_S)
            assert ended == 0, (self._folder / "controllers.log").read_text()[-2000:]

    def asked_for(self, path: str) -> int:
        """Return how often the server has been asked for a path."""
        lines = self._written()
        # What was asked before is written down before what is asked now.
        marks = sum(one.get("path") == MARK for one in lines)
        self("get", "--raw", MARK)
        ends_at = time.monotonic() + READY_DEADLINE_S
        while sum(one.get("path") == MARK for one in lines) == marks:
            assert time.monotonic() < ends_at, "the server writes down no request"
            lines = self._written()
        return sum(one.get("path") == path for one in lines)

    def _written(self) -> list[dict[str, Any]]:
        """Return the whole lines of the server's log."""
        whole, _, _ = (self._folder / "log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed (Debian: kubernetes-client)")
    folder = tmp_path_factory.mktemp("kubectl")
    port = free_port()
    _write(folder, port)
    argv = [sys.executable, "-m", "apiserver", "--settings", str(folder / "settings.json")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(argv, stderr=log)
    try:
        _wait_for(server, folder)
        yield Kubectl(folder, port)
    finally:
        server.terminate()
        assert server.wait(READY_DEADLINE_S) == 0, (folder / "log").read_text()[-2000:]


def _write(folder: Path, port: int) -> None:
    now = datetime.now(UTC)
    ca = pki.new_ca("kubectl", now)
    (folder / "ca.crt").write_bytes(ca.cert)
    server = Identity("system:apiserver", (), ("localhost",), ("127.0.0.1",), is_server=True)
    admin = Identity("kubernetes-admin", ("system:masters",))
    controllers = Identity("system:controllers")
    identities = {"server": server, "admin": admin, "controllers": controllers}
    for name, identity in identities.items():
        signed = pki.new_cert(identity, ca, now)
        (folder / f"{name}.crt").write_bytes(signed.cert)
        (folder / f"{name}.key").write_bytes(signed.key)
    settings = {
        "listen_address": "127.0.0.1",
        "listen_port": port,
        "cert": f"{folder}/server.crt",
        "key": f"{folder}/server.key",
        "client_ca": f"{folder}/ca.crt",
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    names = {"ca": "ca.crt", "cert": "controllers.crt", "key": "controllers.key"}
    files = {word: f"{folder}/{name}" for word, name in names.items()}
    follower = {"client": {"servers": [f"https://127.0.0.1:{port}"], **files}}
    (folder / "controllers.json").write_text(json.dumps(follower))
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": f"{folder}/ca.crt"}
    user = {"client-certificate": f"{folder}/admin.crt", "client-key": f"{folder}/admin.key"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "config").write_text(json.dumps(config))


def _wait_for(server: subprocess.Popen[bytes], folder: Path) -> None:
    ends_at = time.monotonic() + READY_DEADLINE_S
    while b'"serving"' not in (folder / "log").read_bytes():
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < ends_at, "the server is not ready"
        time.sleep(0.05)


def test_apply_get_scale_label_and_delete(kubectl: Kubectl) -> None:
    assert "replicaset.apps/web created" in kubectl.apply(MANIFEST)
    assert "service/web unchanged" in kubectl.apply(MANIFEST)
    assert "DESIRED" in kubectl("get", "rs")
    assert "web" in kubectl("get", "all")
    assert "scaled" in kubectl("scale", "rs/web", "--replicas=5")
    assert "labeled" in kubectl("label", "rs", "web", "tier=x")
    assert "image updated" in kubectl("set", "image", "rs/web", "main=busybox:2")
    told = json.loads(kubectl("get", "rs", "web", "-o", "json"))
    assert told["spec"]["replicas"] == 5
    assert told["metadata"]["labels"] == {"tier": "x"}
    assert told["spec"]["template"]["spec"]["containers"][0]["image"] == "busybox:2"
    changed = MANIFEST.replace("replicas: 2", "replicas: 3")
    assert "replicaset.apps/web configured" in kubectl.apply(changed)
    assert "deleted" in kubectl("delete", "-f", "-", text=MANIFEST)
    assert "NotFound" in kubectl("get", "rs", "web", code=1)


def test_a_wrong_field_is_named(kubectl: Kubectl) -> None:
    wrong = MANIFEST.replace("replicas: 2", "replica: 2")
    told = kubectl("apply", "-f", "-", text=wrong, code=1)
    assert "spec.replica" in told or "unknown field" in told


def test_pods_are_run_waited_for_described_and_deleted(kubectl: Kubectl) -> None:
    assert "created" in kubectl("run", "one", "--image=busybox:1")
    told = kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=1s", code=1)
    assert "timed out" in told
    assert "Pending" in kubectl("describe", "pod", "one")
    assert "not assigned to a node" in kubectl("logs", "one", code=1)
    assert "deleted" in kubectl("delete", "pod", "one", "--wait")
    assert "No resources found" in kubectl("get", "pods")


def test_what_is_created_by_command_comes_as_protobuf(kubectl: Kubectl) -> None:
    if kubectl.minor < 32:
        pytest.skip(f"kubectl 1.{kubectl.minor} sends JSON; 1.32 was the first to send protobuf")
    # At this level it tells the headers of its requests, and not yet those of our answers.
    told = kubectl("create", "namespace", "green", "-v=7")
    assert "namespace/green created" in told
    assert "Content-Type: application/vnd.kubernetes.protobuf" in told


def test_what_is_created_by_command_is_there(kubectl: Kubectl) -> None:
    assert "namespace/blue created" in kubectl("create", "namespace", "blue")
    created = kubectl("create", "service", "clusterip", "door", "--tcp=80:http", "-n", "blue")
    assert "service/door created" in created
    port = kubectl("get", "svc", "door", "-n", "blue", "-o", "jsonpath={.spec.ports[0]}")
    assert json.loads(port) == {
        "name": "80-http", "port": 80, "protocol": "TCP", "targetPort": "http"
    }  # fmt: skip
    again = kubectl("create", "namespace", "blue", code=1)
    assert 'namespaces "blue" already exists' in again
    assert "is invalid" in kubectl("create", "namespace", "Blue_", code=1)
    assert "service/gate created" in kubectl("create", "service", "nodeport", "gate", "--tcp=80")
    given = kubectl("get", "svc", "gate", "-o", "jsonpath={.spec.type} {.spec.ports[0].nodePort}")
    kind, _, node_port = given.partition(" ")
    assert kind == "NodePort"
    assert 30000 <= int(node_port) <= 32767
    kubectl("delete", "service", "gate")
    kubectl("delete", "service", "door", "-n", "blue")


def test_a_quota_is_made_charged_and_described(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "narrow")
    with kubectl.controllers():
        kubectl("create", "quota", "few", "--hard=count/secrets=1,pods=2", "-n", "narrow")
        # Before 1.23 kubectl waits for conditions alone.
        ends_at, used = time.monotonic() + READY_DEADLINE_S, "jsonpath={.status.used.pods}"
        while kubectl("get", "quota/few", "-n", "narrow", "-o", used) != "0":
            assert time.monotonic() < ends_at, "the quota is not counted"
            time.sleep(0.2)
    kubectl("create", "secret", "generic", "one", "-n", "narrow")
    told = kubectl("create", "secret", "generic", "two", "-n", "narrow", code=1)
    assert "exceeded quota: few, requested: count/secrets=1, used: count/secrets=1" in told
    described = kubectl("describe", "quota", "few", "-n", "narrow")
    rows = {tuple(line.split()) for line in described.splitlines()}
    assert {("count/secrets", "1", "1"), ("pods", "0", "2")} <= rows
    assert "count/secrets: 1/1, pods: 0/2" in kubectl("get", "quota", "-n", "narrow")
    kubectl("delete", "namespace", "narrow", "--wait=false")


def test_discovery_contents_it(kubectl: Kubectl) -> None:
    told = kubectl("api-resources")
    for name in ("pods", "services", "replicasets", "endpointslices", "leases"):
        assert name in told
    assert "Server Version" in kubectl("version")


def test_views_and_parts_are_printed(kubectl: Kubectl) -> None:
    assert re.search(r"etcd-0 +Healthy +ok", kubectl("get", "componentstatuses"))
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "front.1"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/sizer",
        "reportingInstance": "sizer-1",
        "action": "Scaling",
        "reason": "Scaled",
        "regarding": {"kind": "Service", "namespace": "default", "name": "front"},
        "note": "scaled to 3",
        "type": "Normal",
    }
    assert "created" in kubectl("create", "-f", "-", text=json.dumps(event))
    assert "scaled to 3" in kubectl("get", "events.v1.events.k8s.io")
    assert "service/front" in kubectl("get", "events")


def test_fields_are_explained(kubectl: Kubectl) -> None:
    told = kubectl("explain", "pod.spec.containers")
    if kubectl.is_old:
        assert "RESOURCE: containers <[]Object>" in told
        assert re.search(r"image\t<string> -required-\n +\w", told)
        assert re.search(r"volumeMounts\t<\[\]Object>\n +\w", told)
        return
    assert "FIELD: containers <[]Container>" in told
    assert re.search(r"image\t<string> -required-\n +\w", told)
    assert re.search(r"imagePullPolicy\t<string>\n +enum: Always, IfNotPresent, Never\n +\w", told)
    assert re.search(r"volumeMounts\t<\[\]VolumeMount>\n +\w", told)
    limits = kubectl("explain", "pod.spec.containers.resources.limits")
    assert "FIELD: limits <map[string]Quantity>" in limits
    assert "<IntOrString>" in kubectl("explain", "service.spec.ports.targetPort")


def test_a_kind_is_explained_to_its_leaves(kubectl: Kubectl) -> None:
    told = kubectl("explain", "rs.spec", "--recursive")
    assert re.search(r"GROUP: +apps|VERSION: +apps/v1", told)
    for field in ("replicas", "matchExpressions", "operator", "containerPort", "medium", "value"):
        assert re.search(rf"^ +{field}\t<", told, re.MULTILINE), field


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_nothing_is_left_unexplained(kubectl: Kubectl, kind: type[Object]) -> None:
    told = kubectl("explain", kind.resource.plural)
    assert re.search(rf"KIND: +{kind.resource.kind}\n", told)
    assert "<no description>" not in told
    assert "<empty>" not in told


def test_lists_are_merged_as_the_document_says(kubectl: Kubectl) -> None:
    """kubectl makes its patch from our document: what others added to a list stays there."""
    pair = """\
apiVersion: v1
kind: Service
metadata: {name: pair}
spec: {selector: {app: web}, ports: [{name: a, port: 80}, {name: b, port: 81}]}
"""
    assert "service/pair created" in kubectl.apply(pair)
    kubectl("patch", "service", "pair", "-p", '{"spec": {"ports": [{"name": "c", "port": 82}]}}')
    changed = pair.replace("name: b, port: 81", "name: d, port: 83")
    told = kubectl.apply(changed)
    assert "configured" in told
    assert "warning" not in told.lower()
    service = json.loads(kubectl("get", "service", "pair", "-o", "json"))
    assert sorted(port["name"] for port in service["spec"]["ports"]) == ["a", "c", "d"]
    # Who finds nothing in our document asks for this one, and then knows Kubernetes' own lists.
    assert kubectl.is_old or kubectl.asked_for("/openapi/v2") == 0
    # Against what is there, the first file takes d away and brings b back; c is nobody's matter.
    told = kubectl("diff", "-f", "-", text=pair, code=1)
    assert {line for line in told.splitlines() if re.match(r"[-+] +port:", line)} == {
        "-    port: 83",
        "+    port: 81",
    }
    assert "deleted" in kubectl("delete", "service", "pair")


def test_the_documents_are_fetched_once(kubectl: Kubectl) -> None:
    if kubectl.is_old:
        pytest.skip("kubectl before 1.27 has one document for everything, and no hash of it")
    kubectl("explain", "lease")
    before = kubectl.asked_for("/openapi/v3/apis/coordination.k8s.io/v1")
    kubectl("explain", "lease.spec")
    assert kubectl.asked_for("/openapi/v3/apis/coordination.k8s.io/v1") == before == 1


GENERATED = """\
apiVersion: v1
kind: Service
metadata: {generateName: made-}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def test_a_generated_name_is_created_and_never_means_all(kubectl: Kubectl) -> None:
    before = kubectl("get", "services", "-o", "name")
    created = re.search(r"service/(made-\w{5}) created", kubectl.create(GENERATED))
    assert created is not None
    assert "cannot use generate name with apply" in kubectl.apply(GENERATED, code=1)
    told = kubectl("delete", "-f", "-", text=GENERATED, code=1)
    assert "resource name may not be empty" in told
    assert "resource name may not be empty" in kubectl("delete", "service", "", code=1)
    assert "deleted" in kubectl("delete", "service", created[1])
    assert kubectl("get", "services", "-o", "name") == before


def test_a_path_that_ends_in_a_slash_deletes_nothing(kubectl: Kubectl) -> None:
    """Other clients ask for that with an empty name."""
    before = kubectl("get", "services", "-o", "name")
    told = kubectl("delete", "--raw", "/api/v1/namespaces/default/services/", code=1)
    assert "resource name may not be empty" in told
    assert kubectl("get", "services", "-o", "name") == before


def test_taints_are_added_changed_and_removed(kubectl: Kubectl) -> None:
    kubectl.create("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n")
    for effect in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        assert "node/n1 tainted" in kubectl("taint", "nodes", "n1", f"mine=x:{effect}")
    told = kubectl("taint", "nodes", "n1", "mine=y:NoSchedule", "--overwrite")
    assert "node/n1 modified" in told
    taints = json.loads(kubectl("get", "node", "n1", "-o", "jsonpath={.spec.taints}"))
    assert {(one["key"], one.get("value"), one["effect"]) for one in taints} == {
        ("mine", "y", "NoSchedule"),
        ("mine", "x", "PreferNoSchedule"),
        ("mine", "x", "NoExecute"),
    }
    assert "node/n1 untainted" in kubectl("taint", "nodes", "n1", "mine:NoSchedule-")
    assert "node/n1 untainted" in kubectl("taint", "nodes", "n1", "mine-")
    assert kubectl("get", "node", "n1", "-o", "jsonpath={.spec.taints}") == ""
    kubectl("delete", "node", "n1")


def test_what_is_read_can_be_replaced(kubectl: Kubectl) -> None:
    kubectl.apply(MANIFEST)
    for target in ("rs/web", "service/web"):
        read = kubectl("get", target, "-o", "yaml")
        assert "replaced" in kubectl("replace", "-f", "-", text=read)
    path = "jsonpath={.spec.ipFamilies} {.spec.ipFamilyPolicy} {.status.loadBalancer}"
    assert kubectl("get", "service", "web", "-o", path) == '["IPv4"] SingleStack {}'
    kubectl("delete", "-f", "-", text=MANIFEST)


def test_apply_leaves_the_finalizers_of_others(kubectl: Kubectl) -> None:
    def finalizers() -> set[str]:
        told = kubectl("get", "service", "held", "-o", "jsonpath={.metadata.finalizers}")
        return set(json.loads(told))

    held = GENERATED.replace("generateName: made-", "name: held, finalizers: [example.com/mine]")
    kubectl.apply(held)
    theirs = {"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/theirs"}
    kubectl("patch", "service", "held", "--type=json", "-p", json.dumps([theirs]))
    kubectl.apply(held.replace("port: 80", "port: 81"))
    assert finalizers() == {"example.com/mine", "example.com/theirs"}
    kubectl.apply(held.replace("example.com/mine", "example.com/other"))
    assert finalizers() == {"example.com/other", "example.com/theirs"}
    kubectl("patch", "service", "held", "-p", '{"metadata": {"finalizers": null}}')
    kubectl("delete", "service", "held")


@pytest.mark.parametrize("policy", ["foreground", "background", "orphan"])
def test_a_cascade_ends_as_its_policy_says(kubectl: Kubectl, policy: str) -> None:
    def pods() -> list[str]:
        return kubectl("get", "pods", "-l", "app=web", "-o", "name").split()

    def wait_for(count: int) -> None:
        ends_at = time.monotonic() + READY_DEADLINE_S
        while len(pods()) != count:
            assert time.monotonic() < ends_at, pods()
            time.sleep(0.2)

    with kubectl.controllers():
        kubectl.apply(MANIFEST)
        wait_for(2)
        assert "deleted" in kubectl("delete", "rs", "web", f"--cascade={policy}")
        wait_for(2 if policy == "orphan" else 0)
        assert "NotFound" in kubectl("get", "rs", "web", code=1)
        owners = "jsonpath={.items[*].metadata.ownerReferences}"
        assert kubectl("get", "pods", "-l", "app=web", "-o", owners) == ""
        kubectl("delete", "pods", "--all", "--wait=false")
        kubectl("delete", "service", "web")


# Some eighty commands, one after the other.
@pytest.mark.timeout(600)
def test_every_verb_on_workloads_and_nodes_is_walked_through(kubectl: Kubectl) -> None:
    if kubectl.is_old:
        pytest.skip("before 1.23 kubectl makes budgets of policy/v1beta1 and waits by no jsonpath")
    with kubectl.controllers():
        for name, command in (("kubectl", kubectl), ("cubectl", kubectl.ours())):
            namespace, node = f"walk-{name}", f"node-{name}"
            kubectl.create(f"apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n")
            kubectl("create", "namespace", namespace)
            for step in STEPS:
                line, words = (
                    text.replace("{ns}", namespace).replace("{node}", node)
                    for text in (step.line, step.words)
                )
                text = SETS if line.startswith("apply") else ""
                ends_at = time.monotonic() + READY_DEADLINE_S
                while words not in (told := command("-n", namespace, *line.split(), text=text)):
                    is_over = not step.is_awaited or time.monotonic() > ends_at
                    assert not is_over, f"{name} {line}: {told}"
                    time.sleep(0.2)
            kubectl("delete", "priorityclass", namespace)
            kubectl("delete", "namespace", namespace, "--wait=false")
