"""`python -m kubelet.weave --settings FILE`: becomes the Weave router of this node.

The router is another's program, which is found on PATH and takes this process's place. Its working
directory is gone after a boot, since what it leaves there makes it ignore its command line.
"""

import argparse
import os
import shutil
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cubernetes.host.settings import SettingsInvalid, read_settings
from kubelet.network.carriers.standing import Standing
from kubelet.network.driver import NetworkTrouble
from kubelet.network.look import space_at
from kubelet.network.namespace import OWN
from kubelet.settings import WeaveSettings
from kubelet.weave.command import PROGRAM, argv_for, environment_for


class CannotBegin(Exception):
    """There is no router to become; the text says why."""


def become_router(settings: WeaveSettings) -> None:
    """Take this process's place with the router. Raises: CannotBegin, OSError."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise CannotBegin(f"{PROGRAM} is not on PATH: scripts/install-weave says how to get it")
    within = IPv4Network(settings.address_network) if settings.address_network else None
    space = space_at(OWN)
    try:
        under = Standing(IPv4Address(settings.address), within).card_in(space)
    except NetworkTrouble as error:
        raise CannotBegin(str(error)) from error
    for folder in (settings.state, settings.run):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chdir(settings.run)
    argv = argv_for(settings, program, under.mtu_bytes, space.links)
    os.execve(program, argv, environment_for(settings, os.environ))  # noqa: S606  no shell: its point


def main() -> int:
    parser = argparse.ArgumentParser(prog="kubelet.weave")
    parser.add_argument("--settings", required=True, type=Path, help="a JSON file")
    try:
        become_router(read_settings(WeaveSettings, parser.parse_args().settings))
    except (CannotBegin, SettingsInvalid, OSError) as error:
        sys.stderr.write(f"kubelet.weave: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
