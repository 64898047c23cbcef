"""The units that a node with systemd may see."""

import pytest

from lab.systemd import PROGRAM, SHOWN, VENDOR, WANTED


def test_what_is_wanted_at_boot_is_shown() -> None:
    shown = {*SHOWN, "docker.service"}

    assert shown >= {*WANTED, *WANTED.values()}


@pytest.mark.skipif(not PROGRAM.exists(), reason="no systemd (apt-get install systemd)")
def test_no_unit_that_is_shown_requires_a_hidden_one() -> None:
    for name in SHOWN:
        lines = (VENDOR / name).read_text().splitlines()
        required = [line for line in lines if line.startswith("Requires=")]
        for unit in " ".join(required).replace("Requires=", "").split():
            assert unit in SHOWN, (name, unit)


def test_nothing_is_shown_that_touches_what_nodes_share() -> None:
    for word in ("udev", "modules", "sysctl", "timesync", "networkd", "random-seed", "fsck"):
        assert not [name for name in SHOWN if word in name]
