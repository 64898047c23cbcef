"""Options of `cuberoot init`: what is accepted, and how the rest is refused before it is done.

`--network` and `--cluster-domain` say what stays as it is while a cluster lives.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cubernetes.api.errors import Invalid
from cubernetes.host.cni.conflist import conflist_of
from cuberoot import node
from cuberoot.cli import main
from cuberoot.cluster import Ranges, password_of

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/cni"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network", "cni"], "--network cni needs --cni-config FILE.conflist"),
        (["--cni-config", str(EXAMPLES / "bridge.conflist")], "is for --network cni"),
        (["--network", "flannel"], "'flannel' is not one of 'vxlan', 'weave', 'cni'"),
        (["--weave-password-file", __file__], "--weave-password-file is for --network weave"),
        (
            ["--network", "weave", "--weave-password-file", __file__],
            "must hold 12 to 256 printable ASCII characters, in one line",
        ),
        (["--network", "cni", "--cni-config", __file__], "--cni-config: is no JSON object"),
        (["--pod-security", "strict"], "'strict' is not one of 'privileged', 'baseline'"),
    ],
)
def test_options_that_mean_nothing_are_refused_with_the_form(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["init", *words])
    assert done.exit_code == 2
    assert said in done.output


def test_every_field_that_is_wrong_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.conflist"
    file.write_text('{"cniVersion": "7", "name": "a b", "plugins": [{"type": "x"}]}')
    done = CliRunner().invoke(main, ["init", "--network", "cni", "--cni-config", str(file)])
    assert "cniVersion: must be one of 0.4.0, 1.0.0, 1.1.0, not '7'" in done.output
    assert "name: must begin with a letter or digit" in done.output


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_each_example_is_a_configuration_by_node(path: Path) -> None:
    assert conflist_of(path.read_text()).is_by_node


@pytest.mark.parametrize("content", [b"open sesame!\n", b"x" * 256])
def test_a_password_is_a_line_of_a_file(content: bytes) -> None:
    assert password_of(content) == content.decode().rstrip("\n")


@pytest.mark.parametrize(
    "content", [b"", b"short", b"x" * 257, b"two\nlines of it", b"caf\xc3\xa9" * 4]
)
def test_what_is_no_password_is_refused_with_the_form(content: bytes) -> None:
    with pytest.raises(ValueError, match="12 to 256 printable ASCII characters"):
        password_of(content)


@pytest.mark.parametrize("domain", ["Cluster.local", "a b", ".local", "a..b", "x" * 64])
def test_a_domain_that_no_name_can_be_under_is_refused_with_the_form(domain: str) -> None:
    ranges = Ranges("10.96.0.0/16", "10.244.0.0/16", "30000-32767", "")
    node._check_ranges(ranges._replace(domain="shop.example"))

    with pytest.raises(Invalid) as refused:
        node._check_ranges(ranges._replace(domain=domain))
    (problem,) = refused.value.problems
    told = "must be a domain in lower case of at most 63 characters, such as cluster.local"
    assert (problem.field, problem.message) == ("--cluster-domain", f"Invalid value: {told}")
