"""Two nodes whose pods are wired by Debian's CNI plugins, and plugins that misbehave as told."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cubernetes.host.blocking import Threads
from cubernetes.host.cni.conflist import PATHS, conflist_in
from cubernetes.host.cni.plugins import DEADLINE_S, Plugins, found
from cubernetes.host.command import SystemCommands
from kubelet.network.carriers.standing import Standing
from kubelet.network.carriers.vxlan import VxlanCarrier
from kubelet.network.cni.driver import CniNetwork
from kubelet.network.cni.others import OtherNetworks
from kubelet.network.cni.records import Records
from kubelet.network.driver import NetworkDriver
from kubelet.network.namespace import OWN
from kubelet.network.pool import AddressPool
from tests.contract.network.worlds import POD_RANGE, RealWorld

# scripts/test unpacks Debian's package there; it is not installed.
UNPACKED = Path(__file__).resolve().parents[3] / "var/tools/usr/lib/cni"
FOLDERS = (*PATHS, str(UNPACKED))
NEEDED = ("bridge", "host-local", "portmap")


def reason_without_plugins() -> str:
    """Return why Debian's plugins cannot be called here, or nothing."""
    missing = [name for name in NEEDED if not found(name, FOLDERS)]
    if missing:
        return f"{', '.join(missing)} (apt-get install containernetworking-plugins)"
    filtered = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return "" if filtered.exists() else "modprobe br_netfilter"


def bridge_conflist(data_dir: Path, version: str) -> Mapping[str, object]:
    ipam = {"type": "host-local", "subnet": "usePodCidr", "dataDir": str(data_dir)}
    ipam |= {"routes": [{"dst": "0.0.0.0/0"}]}  # type: ignore[dict-item]  # JSON has no one type
    return {
        "cniVersion": version,
        "name": "pods",
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


class BridgeWorld(RealWorld):
    """bridge, host-local and portmap on each node, and our overlay between them."""

    made = ("cube", "cni", "veth")
    version = "1.0.0"
    deadline_s = DEADLINE_S
    more: Mapping[str, object] | None = None  # at the end of the chain
    is_within = False  # this process is in the node's namespace, as a kubelet is

    def conflist(self, node: str) -> Mapping[str, object]:
        told = bridge_conflist(self.data(node), self.version)
        if self.more is None:
            return told
        chain = told["plugins"]
        assert isinstance(chain, list)
        return {**told, "plugins": [*chain, self.more]}

    def data(self, node: str) -> Path:
        return self._folder / f"{node}-host-local"

    def driver(self, node: str) -> NetworkDriver:
        conflist = conflist_in(self.conflist(node))
        netns = OWN if self.is_within else f"/run/netns/{self.node(node)}"
        blocking = Threads()
        is_by_node = conflist.is_by_node
        carrier = VxlanCarrier(
            Standing(self.addresses[node], self.within), blocking, netns=netns, refuses_range=False
        )
        within = [] if self.is_within else ["nsenter", f"--net={netns}"]
        plugins = Plugins(SystemCommands(), blocking, self.folders(), within, self.deadline_s)
        return CniNetwork(
            conflist,
            plugins,
            Records(self.records(node)),
            POD_RANGE,
            Standing(self.addresses[node], self.within),
            blocking,
            pool=AddressPool(self.checkpoint(node), blocking) if is_by_node else None,
            carrier=carrier if is_by_node else None,
            others=OtherNetworks(self.networks(node), self.opened(node), plugins, blocking),
            netns=netns,
        )

    def folders(self) -> Sequence[str]:
        return FOLDERS

    def networks(self, node: str) -> Path:
        """Return the folder of the networks that pods may ask for more."""
        return self._folder / f"{node}-net.d"

    def opened(self, node: str) -> Path:
        return self._folder / f"{node}-networks.json"

    def open(self, node: str, **namespaces: Sequence[str]) -> None:
        """Say which networks are open on a node, and to which namespaces."""
        self.opened(node).write_text(json.dumps({"open": namespaces}))

    def offer(self, node: str, name: str, *plugins: Mapping[str, object]) -> None:
        """Give a node a network; that pods may join it has to be said."""
        self.networks(node).mkdir(exist_ok=True)
        tree = {"cniVersion": "1.0.0", "name": name, "plugins": list(plugins)}
        (self.networks(node) / f"{name}.conflist").write_text(json.dumps(tree))

    def records(self, node: str) -> Path:
        return self._folder / f"{node}-cni"

    def cut_wire(self, node: str, pod_uid: str) -> None:
        self.does(self.node(node), f"ip link del {self.host_end(node, pod_uid)}")

    def host_end(self, node: str, pod_uid: str) -> str:
        record = json.loads((self.records(node) / f"{pod_uid}.json").read_bytes())
        return next(str(name) for name in record["hosts"] if name.startswith("veth"))


class ScriptedWorld(BridgeWorld):
    """Plugins that are shell scripts of a test; each call is written down."""

    def __init__(self, folder: Path, plugins: Sequence[Mapping[str, object]]) -> None:
        super().__init__(folder)
        self.programs, self._plugins = folder / "programs", plugins
        self.programs.mkdir()

    def conflist(self, node: str) -> Mapping[str, object]:
        return {"cniVersion": self.version, "name": "pods", "plugins": list(self._plugins)}

    def folders(self) -> Sequence[str]:
        return (str(self.programs), *FOLDERS)

    def program(self, name: str, body: str) -> None:
        """Write a plugin; $said is where its calls are written down, its stdin is read before."""
        path, said = self.programs / name, self.programs / f"{name}.calls"
        note = f'asked=$(cat); echo "$CNI_COMMAND $CNI_CONTAINERID $asked" >> {said}'
        # Another inode: the one of before may be running, and cannot be written then.
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{note}\n{body}\n")
        path.chmod(0o700)

    def calls(self, name: str) -> list[str]:
        """Return the commands that a plugin was called with, in order."""
        path = self.programs / f"{name}.calls"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def asked(self, name: str, command: str) -> list[dict[str, object]]:
        """Return what a plugin was given on stdin with a command."""
        lines = (self.programs / f"{name}.calls").read_text().splitlines()
        words = (line.split(" ", 2) for line in lines)
        return [json.loads(stdin) for one, _, stdin in words if one == command]
