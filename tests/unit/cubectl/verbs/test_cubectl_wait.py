"""`cubectl wait` for what objects say, and for their being there."""

from typing import Any

import pytest

from cubernetes.api.coding import codec
from tests.given import a_namespace, a_pod
from tests.unit.cubectl.tinyserver import TinyServer, run


def a_tree(phase: str) -> dict[str, Any]:
    notes = {"example.com/step": "2"}
    pod = codec.to_tree(a_pod("web-0"))
    return {
        **pod,
        "metadata": {**pod["metadata"], "annotations": notes},
        "status": {"phase": phase, "ready": 2},
    }


@pytest.mark.parametrize("form", ["{.status.phase}=Running", ".status.phase=Running"])
def test_a_value_is_waited_for(server: TinyServer, form: str) -> None:
    server.keep(a_tree("Pending"))
    server.changes = [("MODIFIED", a_tree("Pending")), ("MODIFIED", a_tree("Running"))]

    said = run(server, f"wait pod/web-0 --for=jsonpath={form}")

    assert (said.out, said.code) == (f"pod/web-0 met jsonpath={form}\n", 0)


@pytest.mark.parametrize(
    "what",
    ["{.status.phase}", "{.status.ready}=2", r"{.metadata.annotations.example\.com/step}=2"],
)
def test_a_value_may_be_any_a_number_or_an_annotations(server: TinyServer, what: str) -> None:
    server.keep(a_tree("Running"))

    assert run(server, f"wait pod/web-0 --for=jsonpath={what}").code == 0


@pytest.mark.parametrize("what", ["{.status.phase}=Run", "{.status.podIP}", "{.status.ready}=20"])
def test_another_value_is_waited_for_in_vain(server: TinyServer, what: str) -> None:
    server.keep(a_tree("Running"))
    server.changes = [("MODIFIED", a_tree("Running"))]

    said = run(server, f"wait pod/web-0 --for=jsonpath={what} --timeout=15s")

    assert said.err == f"cubectl: pod/web-0: not met jsonpath={what} after 15s\n"
    assert said.code == 1


def test_what_is_not_there_yet_is_waited_for(server: TinyServer) -> None:
    server.changes = [("ADDED", a_tree("Pending"))]

    said = run(server, "wait pod/web-0 --for=create")

    assert (said.out, said.code) == ("pod/web-0 created\n", 0)


@pytest.mark.parametrize("what", ["create=now", "delete=now", "jsonpath={.x", "jsonpath={.x}2"])
def test_what_is_no_such_form_is_refused(server: TinyServer, what: str) -> None:
    server.keep(codec.to_tree(a_namespace()))

    said = run(server, f"wait ns/default --for={what}")

    assert said.code == 2
    assert "--for=" in said.err
