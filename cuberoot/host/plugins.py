"""What this machine lacks for a cluster's pod network: CNI plugins, or what Weave needs."""

from pathlib import Path

from cubernetes.host.cni.conflist import PATHS, Conflist, conflist_of
from cubernetes.host.cni.plugins import PluginFailed, Plugins
from cubernetes.host.env import Env
from cuberoot.cluster import PodNetwork
from cuberoot.host.weave import lacks_of_weave
from cuberoot.plan import Lack

BRIDGES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


async def lacks_of_network(network: PodNetwork, env: Env) -> list[Lack]:
    """Ask every plugin that the network needs; return what is missing. Raises: ConflistInvalid."""
    if network.kind == "weave":
        return await lacks_of_weave(env)
    if network.kind != "cni":
        return []
    conflist = conflist_of(network.cni_config)
    asked = Plugins(env.commands, env.blocking)
    lacks = [lack for name in conflist.programs for lack in await _asked(name, conflist, asked)]
    if "bridge" in conflist.types and not _are_bridges_filtered():
        remedy = "modprobe br_netfilter, and name it in /etc/modules-load.d for the next boot"
        lacks.append(Lack("bridged packets pass no rules of services here", remedy))
    return lacks


def _are_bridges_filtered() -> bool:
    return BRIDGES.exists()


async def _asked(name: str, conflist: Conflist, plugins: Plugins) -> list[Lack]:
    try:
        speaks = await plugins.versions(name)
    except PluginFailed as error:
        folders = " or ".join(PATHS)
        remedy = f"put it into {folders} (Debian: apt-get install containernetworking-plugins)"
        return [Lack(str(error), remedy)]
    if conflist.version in speaks:
        return []
    remedy = (
        f"it speaks {', '.join(speaks)}: set cniVersion to one of these, or install a newer one"
    )
    return [Lack(f"CNI plugin {name} does not speak {conflist.version}", remedy)]
