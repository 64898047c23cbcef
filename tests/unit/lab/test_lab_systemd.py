"""The units that a node with systemd may see."""

import pytest

from lab.host.systemd import DOCKER, PROGRAM, SHOWN, VENDOR, WANTED

# What a unit does not start without, or ends with. `Sockets=` is a mere wish (systemd.service(5)):
# journald's audit socket stays hidden, for the kernel's audit is the machine's.
STRONG = ("Requires", "Requisite", "BindsTo", "PartOf")
SEEN = {*SHOWN, "docker.service"}


def named(text: str, *keys: str) -> set[str]:
    """Return the units that the lines of these keys name."""
    lines = (line.partition("=") for line in text.splitlines())
    return {unit for key, _, units in lines if key in keys for unit in units.split()}


def test_what_is_wanted_at_boot_is_shown() -> None:
    assert {*WANTED, *WANTED.values()} <= SEEN


def test_what_docker_wants_or_needs_is_shown() -> None:
    wanted = named(DOCKER, "Wants", *STRONG)

    assert wanted
    assert wanted <= SEEN


@pytest.mark.skipif(not PROGRAM.exists(), reason="no systemd (apt-get install systemd)")
def test_no_unit_that_is_shown_needs_a_hidden_one() -> None:
    needed = {name: named((VENDOR / name).read_text(), *STRONG) for name in SHOWN}

    assert needed["systemd-journald.service"], "the files are read"
    assert {name: units - SEEN for name, units in needed.items() if units - SEEN} == {}
