"""`python -m kubelet.weave.reset --settings FILE`: takes away what the Weave router made here.

Its bridge, pairs and datapath, its chains and sets. The router must have been stopped, and the
kubelet has taken its routes away. May be repeated.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.program import CannotGoOn, main
from kubelet.network import links
from kubelet.network.look import space_at
from kubelet.network.namespace import OWN, netlink
from kubelet.network.rtnetlink import NetlinkError
from kubelet.settings import WeaveSettings
from kubelet.weave.leftovers import devices_of, sets_of, undoing

log = Log(__name__)

LOOK, STATE = ("weave", "look"), ("weave", "state")


async def reset(settings: WeaveSettings, env: Env) -> None:
    """Raises: CannotGoOn: says what is left, and why."""
    try:
        await _remove_devices(env)
        has_sets = await env.blocking.run(LOOK, partial(shutil.which, "ipset")) is not None
        await _remove_rules(env, has_sets=has_sets)
        await env.blocking.run(STATE, partial(_remove_folders, settings))
    except (NetlinkError, OSError, CommandFailed) as error:
        raise CannotGoOn(f"the Weave router's leftovers: {error}") from error
    log.info("router's leftovers removed")


async def _remove_devices(env: Env) -> None:
    space = await env.blocking.run(LOOK, partial(space_at, OWN))
    found = devices_of(space.links)
    async with netlink(OWN) as node:
        for name in found:
            await links.remove_device(node, name)


async def _remove_rules(env: Env, *, has_sets: bool) -> None:
    saved = await env.commands.run(["iptables-save"])
    if rules := undoing(saved.stdout.decode(errors="replace")):
        await env.commands.run(["iptables-restore", "--noflush"], stdin=rules.encode())
    if has_sets:
        listed = await env.commands.run(["ipset", "list", "-n"])
        for name in sets_of(listed.stdout.decode(errors="replace")):
            await env.commands.run(["ipset", "destroy", name])


def _remove_folders(settings: WeaveSettings) -> None:
    for folder in (settings.state, settings.run):
        if Path(folder).is_dir():
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main("kubelet.weave.reset", WeaveSettings, reset))
