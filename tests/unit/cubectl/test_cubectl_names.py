"""An empty name is never the same as no name: no verb may be about everything by accident."""

from pathlib import Path

import pytest

from cubernetes.api.coding import codec
from tests.given import a_pod, a_service
from tests.unit.cubectl.tinyserver import SERVICE, TinyServer, run


@pytest.mark.parametrize("metadata", ["{generateName: web-}", "{labels: {app: web}}"])
@pytest.mark.parametrize("verb", ["delete", "delete --ignore-not-found", "apply"])
def test_a_manifest_without_a_name_is_never_about_all_of_its_kind(
    server: TinyServer, tmp_path: Path, verb: str, metadata: str
) -> None:
    server.keep(codec.to_tree(a_service("web")))
    path = tmp_path / "nameless.yaml"
    path.write_text(SERVICE.replace("\n  name: web", f" {metadata}"))

    said = run(server, f"{verb} -f {path}")

    assert (said.code, said.out, server.asked) == (1, "", [])
    assert said.err.startswith(
        f"cubectl: {path}:1: Service: metadata.name: resource name may not be empty"
    )
    assert ("generateName cannot be applied" in said.err) == ("generateName" in metadata)


def test_create_takes_a_generated_name_and_tells_what_came_of_it(
    server: TinyServer, tmp_path: Path
) -> None:
    path = tmp_path / "generated.yaml"
    path.write_text(SERVICE.replace("  name: web", "  generateName: web-"))

    assert run(server, f"create --dry-run -f {path}").out == "service/web-abcde created (dry run)\n"
    assert run(server, f"create -f {path}").out == "service/web-abcde created\n"
    path.write_text(SERVICE.replace("  name: web", "  labels: {app: web}"))
    assert "metadata.name: resource name may not be empty" in run(server, f"create -f {path}").err


@pytest.mark.parametrize(
    "words",
    [
        ["get", "pods", ""],
        ["get", "pods/"],
        ["describe", "pods", ""],
        ["delete", "pods", ""],
        ["delete", "pods", "--all", ""],
        ["delete", "pods", "-l", "app=web", ""],
        ["delete", "pods", "web-0", ""],
        ["delete", "pods/"],
        ["wait", "pods", "", "--all", "--for=delete"],
        ["scale", "rs", "", "--replicas=0"],
        ["label", "pods", "", "-l", "app=web", "a=b"],
        ["annotate", "pods", "", "a=b"],
    ],
)
def test_an_empty_name_is_no_name_left_out(server: TinyServer, words: list[str]) -> None:
    """An unset variable of a shell must not make a command be about everything."""
    server.keep(codec.to_tree(a_pod("web-0")))

    said = run(server, words)

    assert (said.code, server.asked) == (2, [])
    assert "resource name may not be empty" in said.err


@pytest.mark.parametrize(
    "words", [["logs", ""], ["get", "pods", ".."], ["get", "pods", "web-0", "-n", "a/b"]]
)
def test_what_makes_no_path_is_one_line_and_nothing_is_sent(
    server: TinyServer, words: list[str]
) -> None:
    said = run(server, words)

    assert (said.code, said.err.count("\n"), server.asked) == (1, 1, [])


def test_an_empty_uid_is_no_uid_left_out(server: TinyServer) -> None:
    server.keep(codec.to_tree(a_pod("web-0")))

    assert run(server, ["delete", "pod", "web-0", "--uid", ""]).code == 2
    assert server.asked == []
