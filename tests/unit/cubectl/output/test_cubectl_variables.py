"""`cubectl set env` from ConfigMaps and Secrets, and what it lists; as kubectl's."""

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.secret import Secret
from tests.given import a_deployment, a_meta
from tests.unit.cubectl.tinyserver import TinyServer, run

WEB = "/apis/apps/v1/namespaces/default/deployments/web"


@pytest.fixture
def server() -> TinyServer:
    return TinyServer(
        a_deployment("web"),
        ConfigMap(metadata=a_meta("conf"), data={"log.level": "5", "name": "x"}),
        Secret(metadata=a_meta("pass"), data={"word": "eA=="}),
    )


def env_of(server: TinyServer) -> object:
    return server.trees[WEB]["spec"]["template"]["spec"]["containers"][0].get("env")


def test_each_key_of_a_source_is_a_variable(server: TinyServer) -> None:
    said = run(server, "set env deploy/web --from=configmap/conf")

    assert said.out == "deployment.apps/web env updated\n", said.err
    assert env_of(server) == [
        {
            "name": "LOG_LEVEL",
            "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "log.level"}},
        },
        {"name": "NAME", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "name"}}},
    ]


@pytest.mark.parametrize("source", ["configmap/conf", "secret/pass"])
def test_what_no_variable_can_hold_is_none(server: TinyServer, source: str) -> None:
    """A container whose variable is a key of binaryData does not start."""
    for place in ("configmaps/conf", "secrets/pass"):
        server.trees[f"/api/v1/namespaces/default/{place}"]["binaryData"] = {"logo": "eA=="}

    run(server, f"set env deploy/web --from={source}")

    assert "LOGO" not in str(env_of(server))
    assert env_of(server)


def test_keys_are_chosen_and_names_begin_as_asked(server: TinyServer) -> None:
    run(server, "set env deploy/web --from=secret/pass --keys word --prefix DB_ A=1")

    assert env_of(server) == [
        {"name": "DB_WORD", "valueFrom": {"secretKeyRef": {"name": "pass", "key": "word"}}},
        {"name": "A", "value": "1"},
    ]


def test_a_list_tells_texts_and_where_others_come_from(server: TinyServer) -> None:
    run(server, "set env deploy/web --from=secret/pass A=1")
    count = len(server.writes)

    said = run(server, "set env deploy/web --list")

    assert said.out == (
        "# deployment.apps/web, container main\n# WORD from secret pass, key word\nA=1\n"
    )
    assert len(server.writes) == count


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("set env deploy/web --from=pod/x", 2, "must be configmap/NAME or secret/NAME"),
        ("set env deploy/web --from=all", 2, "'all': name one kind"),
        ("set env deploy/web --from=cm,secret", 2, "'cm,secret': name one kind"),
        ("set env deploy/web --from=cm", 2, "must be configmap/NAME or secret/NAME"),
        ("set env deploy/web --from=configmap/conf --keys none", 1, "configmap/conf has no none"),
        ("set env deploy/web --from=configmap/absent", 1, "not found"),
        ("set env deploy/web --keys a A=1", 2, "--keys is about --from"),
        ("set env deploy/web --list A=1", 2, "--list changes nothing"),
        ("set image deploy/web --list a=b", 2, "--list is of set env"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    server: TinyServer, line: str, code: int, said: str
) -> None:
    answer = run(server, line)

    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert server.writes == []
