"""The pod networks that a node's settings can name."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cubernetes.host.cni.conflist import conflist_of
from cubernetes.host.cni.plugins import Plugins
from cubernetes.host.env import Env
from kubelet.network.carriers.standing import Standing
from kubelet.network.carriers.vxlan import VxlanCarrier
from kubelet.network.carriers.weave import WeaveCarrier
from kubelet.network.cni.driver import CniNetwork
from kubelet.network.cni.others import OtherNetworks
from kubelet.network.cni.records import Records
from kubelet.network.driver import NetworkDriver
from kubelet.network.pool import AddressPool
from kubelet.network.routed import RoutedNetwork
from kubelet.settings import KubeletSettings

CHECKPOINT = "network.json"


def standing_of(settings: KubeletSettings) -> Standing:
    within = IPv4Network(settings.address_network) if settings.address_network else None
    return Standing(IPv4Address(settings.address), within)


def _vxlan(settings: KubeletSettings, root: Path, env: Env) -> NetworkDriver:
    carrier = VxlanCarrier(standing_of(settings), env.blocking)
    return RoutedNetwork(carrier, root / CHECKPOINT, env.blocking)


def _weave(settings: KubeletSettings, root: Path, env: Env) -> NetworkDriver:
    carrier = WeaveCarrier(settings.node_name, standing_of(settings), env.blocking)
    return RoutedNetwork(carrier, root / CHECKPOINT, env.blocking)


def _cni(settings: KubeletSettings, root: Path, env: Env) -> NetworkDriver:
    """Raises: ConflistInvalid."""
    conflist = conflist_of(settings.cni_config)
    standing, blocking = standing_of(settings), env.blocking
    plugins = Plugins(env.commands, blocking, settings.cni_paths)
    lists, opened = Path(settings.cni_networks), Path(settings.networks_file)
    by_node = conflist.is_by_node
    return CniNetwork(
        conflist,
        plugins,
        Records(root / "cni"),
        IPv4Network(settings.pod_range),
        standing,
        blocking,
        pool=AddressPool(root / CHECKPOINT, blocking) if by_node else None,
        carrier=VxlanCarrier(standing, blocking, refuses_range=False) if by_node else None,
        others=OtherNetworks(lists, opened, plugins, blocking),
    )


# Each is made from the kubelet's settings, the folder of its state and the environment. A fake
# needs its fabric.
NETWORKS: Mapping[str, Callable[[KubeletSettings, Path, Env], NetworkDriver]] = {
    "vxlan": _vxlan,
    "weave": _weave,
    "cni": _cni,
}
