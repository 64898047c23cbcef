"""The kinds of a cluster, as cubectl knows them: asked once, kept a while, never wrong for long."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cubectl.kinds import AGE_S_MAX, Kinds, place_for
from cubernetes.api.registry import KINDS
from cubernetes.client.wire.catalog import Catalog, Malformed, document_of, kept_in, resources_in
from tests.given import NOW

SERVER = "https://192.0.2.1:6443"
GROUPS = {
    "kind": "APIGroupList",
    "groups": [{"name": "apps", "preferredVersion": {"groupVersion": "apps/v1"}}],
}
CORE = {
    "groupVersion": "v1",
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True, "shortNames": ["po"], "verbs": ["get"],
         "categories": ["all"]},
        {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]},
    ],
}  # fmt: skip
APPS = {
    "groupVersion": "apps/v1",
    "resources": [{"name": "replicasets", "kind": "ReplicaSet", "namespaced": True, "verbs": []}],
}


class Server:
    """Discovery documents by path, and what was asked for."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {"/apis": GROUPS, "/api/v1": CORE, "/apis/apps/v1": APPS}
        self.asked: list[str] = []

    def ask(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        found: dict[str, Any] = self.documents[path]
        return found

    def kinds(self, home: Path, *, age_s: float = 0, ca: bytes = b"ca") -> Kinds:
        """Return what a new process knows; age_s seconds have passed since the beginning."""
        place = place_for({"HOME": str(home)}, SERVER, ca)
        return Kinds(self.ask, place, lambda: NOW + timedelta(seconds=age_s))


@pytest.fixture
def server() -> Server:
    return Server()


def words(kinds: Kinds) -> list[str]:
    return [one.plural for one in kinds.catalog.resources]


def test_discovery_is_read_as_kubernetes_writes_it(server: Server, tmp_path: Path) -> None:
    kinds = server.kinds(tmp_path)

    pods = kinds.find(lambda catalog: catalog.called("Po"))
    assert pods is not None
    assert (pods.root, pods.subresources, pods.categories) == ("/api/v1", ("log",), ("all",))
    assert kinds.catalog.of("apps/v1", "ReplicaSet") == kinds.catalog.called("replicasets.apps")
    assert kinds.catalog.called("replicasets.v1.apps") is not None
    assert kinds.catalog.called("replicasets.batch") is None


def test_what_was_asked_is_kept_for_the_next_process(server: Server, tmp_path: Path) -> None:
    assert words(server.kinds(tmp_path)) == ["pods", "replicasets"]
    assert server.asked == ["/apis", "/api/v1", "/apis/apps/v1"]

    assert words(server.kinds(tmp_path, age_s=AGE_S_MAX)) == ["pods", "replicasets"]
    assert len(server.asked) == 3


@pytest.mark.parametrize("age_s", [AGE_S_MAX + 1, -1])
def test_what_is_kept_too_long_or_comes_from_the_future_is_asked_anew(
    server: Server, tmp_path: Path, age_s: float
) -> None:
    words(server.kinds(tmp_path))
    words(server.kinds(tmp_path, age_s=age_s))
    assert len(server.asked) == 6


def test_another_cluster_at_the_same_address_is_asked_itself(
    server: Server, tmp_path: Path
) -> None:
    words(server.kinds(tmp_path))
    words(server.kinds(tmp_path, ca=b"another"))
    assert len(server.asked) == 6


def test_a_kind_that_came_since_is_found_at_once(server: Server, tmp_path: Path) -> None:
    words(server.kinds(tmp_path))
    server.documents["/apis/apps/v1"] = {
        "groupVersion": "apps/v1",
        "resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True}],
    }
    kinds = server.kinds(tmp_path)

    assert kinds.find(lambda catalog: catalog.called("deployment")) is not None
    assert kinds.find(lambda catalog: catalog.called("nonsense")) is None
    # Once for the new kind; a second unknown word asks no more.
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"format": 1}', b"\xff", b'{"at": "x"}',
     b'{"format": 1, "cluster": 0, "at": 1735732800.0, "kinds": [[1]]}'],
)  # fmt: skip
def test_a_file_that_is_none_costs_requests_and_nothing_else(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    words(server.kinds(tmp_path))
    (file,) = (tmp_path / ".kube" / "cache" / "cubectl").iterdir()
    file.write_bytes(content)

    assert words(server.kinds(tmp_path)) == ["pods", "replicasets"]
    assert len(server.asked) == 6
    assert json.loads(file.read_bytes())["kinds"]


def test_a_home_that_takes_no_file_is_no_failure(server: Server, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")

    assert words(server.kinds(tmp_path / "home")) == ["pods", "replicasets"]
    assert place_for({}, SERVER, b"") is None


@pytest.mark.parametrize(
    "document",
    [
        {}, {"groupVersion": "v1"}, {"groupVersion": "v1", "resources": [1]},
        {"groupVersion": "v1", "resources": [{"name": "pods"}]},
        {"groupVersion": "v1", "resources": [{"name": "", "kind": "Pod"}]},
        {"groupVersion": "v1", "resources": [{"name": "p", "kind": "P", "shortNames": [1]}]},
    ],
)  # fmt: skip
def test_a_document_that_is_none_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        resources_in(document)


def test_kinds_are_kept_whole() -> None:
    resources = [kind.resource for kind in KINDS]
    kept = json.loads(json.dumps(document_of(resources)))
    assert kept_in(kept) == resources
    assert Catalog(kept_in(kept)).of_category("ALL") == Catalog(resources).of_category("all")
