"""systemd-resolved: which machines have it, and what it is told."""

from pathlib import Path

import pytest

from cubernetes.client.connect import ClientSettings
from resolver.resolved import OURS, RUN, Resolved
from resolver.run import Asked, asked_first
from resolver.settings import ResolverSettings

SETTINGS = ResolverSettings(node_name="n1", client=ClientSettings(servers=(), ca=""))
ADDRESS = SETTINGS.address


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine whose programs ask systemd-resolved."""
    (tmp_path / RUN).mkdir(parents=True)
    (tmp_path / RUN / "stub-resolv.conf").write_text("nameserver 127.0.0.53\n")
    (tmp_path / RUN / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    return tmp_path


def asked(root: Path) -> Asked:
    return asked_first(root / "etc/resolv.conf", Resolved(root), SETTINGS)


def test_it_is_told_the_domain_and_reloaded_until_it_says_that_it_asks(root: Path) -> None:
    assert asked(root) == Asked("", needs_reload=True)
    assert (root / OURS).read_text().splitlines()[1:] == [
        "[Resolve]",
        f"DNS={ADDRESS}",
        "Domains=~cluster.local",
    ]
    # Whoever wrote it may have died before the reload.
    assert asked(root) == Asked("", needs_reload=True)
    (root / RUN / "resolv.conf").write_text(f"nameserver {ADDRESS}\nnameserver 192.0.2.53\n")
    assert asked(root) == Asked()
    assert (root / "etc/resolv.conf").is_symlink()


@pytest.mark.parametrize(
    "place", ["etc/systemd/resolved.conf", "usr/lib/systemd/resolved.conf.d/10-site.conf"]
)
@pytest.mark.parametrize(("text", "is_left"), [("DNS=192.0.2.9", True), ("#DNS=x\nDNS=", False)])
def test_one_that_has_servers_for_everything_is_left_alone(
    root: Path, place: str, text: str, *, is_left: bool
) -> None:
    path = root / place
    path.parent.mkdir(parents=True)
    path.write_text(f"[Resolve]\n{text}\n")

    found = asked(root)
    assert ("DNS=" in found.why, (root / OURS).exists()) == (is_left, not is_left)


def test_a_link_to_another_programs_file_is_left_alone(root: Path) -> None:
    link = root / "etc/resolv.conf"
    link.unlink()
    (root / "run/NetworkManager").mkdir()
    link.symlink_to("../run/NetworkManager/resolv.conf")

    assert asked(root) == Asked("it is another program's")
    assert not (root / OURS).exists()


def test_what_was_told_is_taken_back_and_what_never_was_needs_no_reload(root: Path) -> None:
    assert not Resolved(root).ask_no_more()
    asked(root)

    assert Resolved(root).ask_no_more()
    assert not (root / OURS).exists()
