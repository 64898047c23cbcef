"""`cubectl create KIND NAME` and `set selector`: what words make."""

import json
from base64 import b64decode, b64encode
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
        ("create secret s", "create secret generic|tls|docker-registry NAME"),
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


def test_a_service_account_is_made_of_its_name(server: TinyServer) -> None:
    tree = made(server, "create sa robot", f"{HERE}/serviceaccounts/robot")
    assert tree["kind"] == "ServiceAccount"


def test_a_login_at_a_registry_is_made_of_words_or_of_dockers_own_file(
    server: TinyServer, tmp_path: Path
) -> None:
    line = "create secret docker-registry r --docker-username ann --docker-password s3"
    tree = made(server, line, f"{HERE}/secrets/r")
    assert tree["type"] == "kubernetes.io/dockerconfigjson"
    login = {"username": "ann", "password": "s3", "auth": b64encode(b"ann:s3").decode()}
    content = json.loads(b64decode(tree["data"][".dockerconfigjson"]))
    assert content == {"auths": {"https://index.docker.io/v1/": login}}

    line = f"{line.replace(' r ', ' q ')} --docker-server reg:5000 --docker-email a@b"
    tree = made(server, line, f"{HERE}/secrets/q")
    content = json.loads(b64decode(tree["data"][".dockerconfigjson"]))
    assert content == {"auths": {"reg:5000": {**login, "email": "a@b"}}}

    (tmp_path / "config.json").write_text('{"auths": {}}')
    line = f"create secret docker-registry f --from-file .dockerconfigjson={tmp_path}/config.json"
    tree = made(server, line, f"{HERE}/secrets/f")
    assert b64decode(tree["data"][".dockerconfigjson"]) == b'{"auths": {}}'


def test_a_role_has_a_rule_for_each_group(server: TinyServer) -> None:
    line = "create role r --verb get,list --verb list --resource po,deploy --resource pods/log"
    place = "/apis/rbac.authorization.k8s.io/v1"
    tree = made(server, line, f"{place}/namespaces/default/roles/r")
    verbs = ["get", "list"]
    assert tree["rules"] == [
        {"verbs": verbs, "apiGroups": [""], "resources": ["pods", "pods/log"]},
        {"verbs": verbs, "apiGroups": ["apps"], "resources": ["deployments"]},
    ]
    line = "create role one --verb get,* --resource secrets --resource-name a --resource-name b"
    (rule,) = made(server, line, f"{place}/namespaces/default/roles/one")["rules"]
    assert (rule["verbs"], rule["resourceNames"]) == (["*"], ["a", "b"])

    line = "create clusterrole c --verb get --resource * --non-resource-url /metrics,/logs/*"
    assert made(server, line, f"{place}/clusterroles/c")["rules"] == [
        {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]},
    ]


def test_a_binding_names_its_role_and_whom_it_is_given(server: TinyServer) -> None:
    rbac = "rbac.authorization.k8s.io"
    place = f"/apis/{rbac}/v1"
    line = "create rolebinding b --role r --user ann --group devs --serviceaccount shop:robot"
    tree = made(server, line, f"{place}/namespaces/default/rolebindings/b")
    assert tree["roleRef"] == {"apiGroup": rbac, "kind": "Role", "name": "r"}
    assert tree["subjects"] == [
        {"kind": "User", "apiGroup": rbac, "name": "ann"},
        {"kind": "Group", "apiGroup": rbac, "name": "devs"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "shop"},
    ]
    line = "create clusterrolebinding c --clusterrole view --user bob"
    tree = made(server, line, f"{place}/clusterrolebindings/c")
    assert tree["roleRef"] == {"apiGroup": rbac, "kind": "ClusterRole", "name": "view"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("role r --resource pods", "at least one verb must be specified"),
        ("role r --verb get", "at least one resource must be specified"),
        ("role r --verb get --resource pods,secrets --resource-name a", "with one --resource"),
        ("role r --verb get --resource ships", "there is no kind 'ships'"),
        ("role r --verb get --non-resource-url /x", "--non-resource-url is for a clusterrole"),
        ("rolebinding b --user ann", "exactly one of clusterrole or role must be specified"),
        ("rolebinding b --role a --clusterrole b", "exactly one of clusterrole or role"),
        ("clusterrolebinding b --user ann", 'required flag(s) "clusterrole" not set'),
        ("rolebinding b --role r --serviceaccount robot", "'robot': write NAMESPACE:NAME"),
        ("secret docker-registry r --docker-username a", '"docker-password" not set'),
        ("secret docker-registry r --from-literal a=b", "write .dockerconfigjson=PATH, once"),
    ],
)
def test_what_says_too_little_of_access_makes_nothing(
    server: TinyServer, line: str, told: str
) -> None:
    said = run(server, f"create {line}")
    assert said.code != 0
    assert told in said.err
    assert server.writes == []


def test_a_token_is_printed_alone(server: TinyServer) -> None:
    said = run(server, "create token robot")
    assert said.code == 0
    assert said.out == f'of {HERE}/serviceaccounts/robot/token with {{"audiences": []}}\n'

    line = "create token robot --duration 1h30m --audience vault --audience nomad"
    bound = "--bound-object-kind Pod --bound-object-name web --bound-object-uid u1"
    spec = json.loads(run(server, f"{line} {bound}").out.partition(" with ")[2])
    assert spec == {
        "audiences": ["vault", "nomad"],
        "expirationSeconds": 5400,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"},
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("token", "create token SERVICEACCOUNT"),
        ("token robot --dry-run", "no dry run"),
        ("token robot --bound-object-name web", "--bound-object-kind and --bound-object-name go"),
        ("token robot --duration soon", "soon"),
    ],
)
def test_a_token_that_is_not_well_asked_for_is_not_asked_for(
    server: TinyServer, line: str, told: str
) -> None:
    said = run(server, f"create {line}")
    assert (said.code != 0, told in said.err) == (True, True)
    assert server.writes == []
