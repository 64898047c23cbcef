"""Hosts and paths: the grammar at the door of the API, and what an older Dns is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.coding import codec
from cubernetes.api.cubernetes.dns import Dns
from cubernetes.api.errors import Invalid
from cubernetes.api.networking.ingress import Ingress
from cubernetes.api.networking.urls import decoded, host_problem, path_problem
from gateway.nginx.quoting import literal
from tests.unit.gateway.roadworld import a_dns, an_ingress


@pytest.mark.parametrize(
    "host", ["a", "a.example", "xn--bcher-kva.example", "1.a", "a-b.c", f"{'a' * 63}.example"]
)
def test_hosts_that_are_accepted(host: str) -> None:
    assert host_problem(host, may_be_wildcard=False) == ""
    assert host_problem(f"*.{host}", may_be_wildcard=True) == ""
    assert host_problem(f"*.{host}", may_be_wildcard=False)


@pytest.mark.parametrize(
    "host",
    ["", "A.example", "a_b", "192.0.2.1", "a..b", ".a", "a.", "a:80", "*", "*.", "*a.b", "a.*.b",
     "a b", "a;", 'a"', "a\n", "ä.example", f"{'a' * 64}.example", "a." * 130],
)  # fmt: skip
def test_hosts_that_are_refused(host: str) -> None:
    assert host_problem(host, may_be_wildcard=True)


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/", "/a/b.c", "/a%20b", "/~a;b=c", "/$a", "/'(x)'", "/" + "$" * 200]
)
def test_paths_that_are_accepted(path: str) -> None:
    assert path_problem(path) == ""


@pytest.mark.parametrize(
    "path",
    ["", "a", "//", "/a//b", "/..", "/a/../b", "/a/.", "/a%2Fb", "/a%2fb", "/%2e%2e/a", "/a?b",
     "/a#b", "/a b", '/a"', "/a{", "/a}", "/a\\b", "/a\nb", "/%", "/%zz", "/%00", "/%0a", "/%ff",
     "/ä", "/" + "a" * 1024, "/a%C2%85b", "/" + "$" * 300, "/" + "%24" * 300],
)  # fmt: skip
def test_paths_that_are_refused(path: str) -> None:
    assert path_problem(path)


@given(st.text())
def test_an_accepted_path_has_no_character_that_ends_anything(path: str) -> None:
    if not path_problem(path):
        assert all(0x20 <= ord(char) != 0x7F for char in decoded(path))
        assert ".." not in decoded(path).split("/")
        assert literal(decoded(path))


def test_everything_that_is_wrong_with_an_ingress_is_told_at_its_field() -> None:
    tree = codec.to_tree(an_ingress("a", ("a.example", ("/ web",))))
    tree["spec"] = {
        "ingressClassName": "A b",
        "rules": [
            {"host": "A", "http": {"paths": []}},
            {"http": {"paths": [{"path": "a", "pathType": "Prefix", "backend": {}}]}},
            {
                "http": {
                    "paths": [
                        {
                            "pathType": "Exact",
                            "backend": {"service": {"name": "X", "port": {}}},
                        }
                    ]
                }
            },
        ],
        "tls": [{"hosts": ["a.example", "*.b.example", "B", "*"], "secretName": "A b"}],
        "defaultBackend": {"resource": {"apiGroup": "", "kind": "Bucket", "name": "b"}},
    }
    found = {one.field for one in codec.from_tree(Ingress, tree).model.problems()}

    path, other = "spec.rules[1].http.paths[0]", "spec.rules[2].http.paths[0]"
    assert found == {
        "spec.defaultBackend.resource",
        "spec.ingressClassName",
        "spec.rules[0].host",
        "spec.rules[0].http.paths",
        f"{path}.path",
        f"{path}.backend.service",
        f"{other}.path",
        f"{other}.backend.service.name",
        f"{other}.backend.service.port",
        "spec.tls[0].hosts[2]",
        "spec.tls[0].hosts[3]",
        "spec.tls[0].secretName",
    }


def test_an_ingress_needs_something_that_it_leads_to() -> None:
    assert [one.field for one in an_ingress("a").problems()] == ["spec"]
    assert list(an_ingress("a", default="web").problems()) == []


def test_everything_that_is_wrong_with_a_dns_is_told_at_its_field() -> None:
    wrong = a_dns("d", "*.example", "a web", "/x Web", "/y web:a_b", "/y web:1", "/y web:2")
    assert [one.field for one in wrong.problems()] == [
        "spec.host",
        "spec.paths[0].path",
        "spec.paths[1].serviceName",
        "spec.paths[2].servicePort",
        "spec.paths",
    ]


def test_w28_an_older_dns_is_refused_with_its_translation() -> None:
    """There services were named by uids pasted by hand, and the paths were a map."""
    tree = {
        "apiVersion": "cubernetes.io/v1",
        "kind": "Dns",
        "metadata": {"name": "old"},
        "spec": {
            "host": "example.cubernetes",
            "paths": {
                "/test/cubernetes/nb": {"serviceUID": "b2c1", "servicePort": 8080},
                "/x": {},
            },
        },
    }
    with pytest.raises(Invalid) as refused:
        codec.from_tree(Dns, tree)

    (problem,) = refused.value.problems
    assert problem.field == "spec.paths"
    assert problem.message.endswith(
        ": must be a list, and names services instead of their uids; write "
        "- {path: /test/cubernetes/nb, pathType: Exact, serviceName: <name of the service with uid "
        "b2c1>, servicePort: 8080}; - {path: /x, pathType: Exact, serviceName: NAME, servicePort: "
        "PORT}"
    )
