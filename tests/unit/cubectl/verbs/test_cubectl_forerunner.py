"""Manifests of the platform before this one are applied as what they mean here."""

from pathlib import Path

import pytest

from tests.unit.cubectl.tinyserver import TinyServer, run

ACTION = """\
apiVersion: v1
kind: Action
metadata:
  name: calculate
  uid: 3f0c
spec:
  invokeActions: [addition]
"""
INGRESS = """\
apiVersion: justtest/v1
kind: Ingress
metadata:
  name: calculate
spec:
  trigger: /calculate
  invokeAction: calculate
  httpType: GET
"""
SCRIPT = "def action(req):\n    return 'x'\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_an_action_and_its_ingress_become_a_function_and_its_route(
    server: TinyServer, file: Path, script: Path
) -> None:
    file.write_text(f"{ACTION}---\n{INGRESS}")

    said = run(server, f"apply -f {file} -s {script}")

    assert (said.code, said.out) == (
        0,
        "function.serverless.cubernetes.io/calculate created\n"
        "route.serverless.cubernetes.io/calculate created\n",
    )
    assert f"warning: {file}:1: an Action is applied as a Function" in said.err
    function, route = server.trees.values()
    assert function["spec"]["files"] == {"action.py": SCRIPT}
    assert function["spec"]["calls"] == ["addition"]
    assert route["spec"]["path"] == "/calculate"
    assert route["spec"]["methods"] == ["GET"]
    assert route["spec"]["function"] == "calculate"


def test_another_script_makes_another_function_and_a_name_is_enough_to_delete_it(
    server: TinyServer, file: Path, script: Path
) -> None:
    file.write_text(ACTION)
    run(server, f"apply -f {file} -s {script}")
    script.write_text(f"{SCRIPT}# 2\n")

    again = run(server, f"apply -f {file} -s {script}")
    gone = run(server, f"delete -f {file}")

    assert again.out == "function.serverless.cubernetes.io/calculate configured\n"
    assert (gone.code, server.trees) == (0, {})


@pytest.mark.parametrize(
    ("content", "line", "code", "told"),
    [
        (ACTION, "", 1, "spec.files"),
        (INGRESS, "-s {script}", 2, "-s gives its code to one Action; the documents have 0"),
        (f"{ACTION}---\n{ACTION}", "-s {script}", 2, "the documents have 2"),
        (ACTION, "-s /nowhere.py", 1, "/nowhere.py: No such file"),
        (INGRESS.replace("GET", "FETCH"), "", 1, "spec.methods"),
        (INGRESS.replace("justtest/v1", "networking.k8s.io/v1"), "", 1, "invokeAction"),
        (ACTION.replace("v1", "actions.example.com/v1"), "", 1, "there is no 'Action'"),
    ],
)
def test_what_is_missing_or_of_another_group_is_refused_by_name(
    server: TinyServer, file: Path, script: Path, content: str, line: str, code: int, told: str
) -> None:
    file.write_text(content)

    said = run(server, f"apply -f {file} {line.format(script=script)}")

    assert said.code == code
    assert told in said.err
    assert server.trees == {}
