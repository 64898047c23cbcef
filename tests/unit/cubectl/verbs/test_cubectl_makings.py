"""`cubectl create KIND NAME` and `set selector`: what words make."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tests.given import a_service
from tests.unit.cubectl.tinyserver import TinyServer, run

HERE = "/api/v1/namespaces/default"


def made(server: TinyServer, line: str, path: str) -> dict[str, Any]:
    said = run(server, line)
    assert (said.code, said.err) == (0, ""), said
    assert said.out.endswith(" created\n")
    return server.trees[path]


def test_a_namespace_is_made_of_its_name(server: TinyServer) -> None:
    assert made(server, "create namespace shop", "/api/v1/namespaces/shop")["kind"] == "Namespace"


def test_a_configmap_is_made_of_texts_and_files(server: TinyServer, tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "b.txt").write_text("two")
    (folder / "raw").write_bytes(b"\xff\x00")
    env = tmp_path / "env"
    env.write_text("# not this\nCOLOUR=red=blue\n\n")
    line = f"create cm c --from-literal a=one=1 --from-file {folder} --from-env-file {env}"
    tree = made(server, f"{line} --from-file key={folder}/b.txt", f"{HERE}/configmaps/c")
    assert tree["data"] == {"a": "one=1", "b.txt": "two", "key": "two", "COLOUR": "red=blue"}
    assert tree["binaryData"] == {"raw": b64encode(b"\xff\x00").decode()}


def test_a_secret_is_made_of_texts_or_of_a_certificate_and_its_key(
    server: TinyServer, tmp_path: Path
) -> None:
    tree = made(server, "create secret generic s --from-literal a=b", f"{HERE}/secrets/s")
    assert (tree["type"], tree["data"]) == ("Opaque", {"a": "Yg=="})
    for name in ("crt", "key"):
        (tmp_path / name).write_text(name)
    line = f"create secret tls t --cert {tmp_path}/crt --key {tmp_path}/key"
    tree = made(server, line, f"{HERE}/secrets/t")
    assert tree["type"] == "kubernetes.io/tls"
    assert tree["data"] == {"tls.crt": "Y3J0", "tls.key": "a2V5"}


def test_a_service_leads_to_the_pods_of_its_name(server: TinyServer) -> None:
    line = "create service nodeport web --tcp 80:8080 --tcp 443"
    spec = made(server, line, f"{HERE}/services/web")["spec"]
    assert (spec["type"], spec["selector"]) == ("NodePort", {"app": "web"})
    ports = [(one["name"], one["port"], one["targetPort"]) for one in spec["ports"]]
    assert ports == [("80-8080", 80, 8080), ("443", 443, 443)]
    line = "create service externalname ext --external-name example.com"
    spec = made(server, line, f"{HERE}/services/ext")["spec"]
    assert (spec["type"], spec["externalName"]) == ("ExternalName", "example.com")


def test_quotas_priorities_and_budgets_are_made_of_a_few_words(server: TinyServer) -> None:
    tree = made(server, "create quota q --hard pods=9,requests.cpu=4", f"{HERE}/resourcequotas/q")
    assert tree["spec"]["hard"] == {"pods": "9", "requests.cpu": "4"}
    place = "/apis/scheduling.k8s.io/v1/priorityclasses/high"
    assert made(server, "create priorityclass high --value 9", place)["value"] == 9
    place = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b"
    spec = made(server, "create pdb b --selector app=web --min-available 50%", place)["spec"]
    assert spec == {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": "50%"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("create cm c --from-literal a", "write KEY=TEXT"),
        ("create cm c --from-literal a=1 --from-literal a=2", "named twice"),
        ("create cm c --from-literal /=1", "'/' is no key"),
        ("create cm c --from-file /absent", "/absent: No such file"),
        ("create cm c --from-file key=/", "is a folder"),
        ("create secret tls t --cert x", 'required flag(s) "key" not set'),
        ("create service web w --tcp 80", "write one of clusterip"),
        ("create service clusterip w", "at least one tcp port"),
        ("create service clusterip w --tcp 0", "write PORT or PORT:TARGET"),
        ("create service clusterip w --tcp 80:http", "write PORT or PORT:TARGET"),
        ("create service externalname w", 'required flag(s) "external-name" not set'),
        ("create quota q", "--hard"),
        ("create pdb b --selector app=web", "min-available or max-unavailable"),
        ("create pdb b --selector app --min-available 1", "write KEY=VALUE"),
        ("create secret s", "create secret generic|tls NAME"),
        ("set selector svc/web app", "at least one update"),
    ],
)
def test_what_makes_nothing_is_refused_by_name(server: TinyServer, line: str, said: str) -> None:
    answer = run(server, line)
    assert (answer.code, said in answer.err) == (2, True), answer.err
    assert server.writes == []


def test_a_service_leads_to_other_pods_and_other_kinds_do_not() -> None:
    server = TinyServer(a_service("web"))
    said = run(server, "set selector svc/web app=shop,tier=front")
    assert (said.code, said.out) == (0, "service/web selector updated\n")
    spec = server.trees[f"{HERE}/services/web"]["spec"]
    assert spec["selector"] == {"app": "shop", "tier": "front"}
