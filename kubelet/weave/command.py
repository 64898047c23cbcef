"""How a Weave router is begun: its command line and its environment. Pure."""

from collections.abc import Container, Mapping

from kubelet.network import overlay
from kubelet.settings import WeaveSettings

PROGRAM = "weaver"
CONTROL, STATUS, PORT = 6784, 6782, overlay.WEAVE_PORTS[0]


def argv_for(
    settings: WeaveSettings, program: str, mtu_bytes: int, devices: Container[str]
) -> list[str]:
    """Return the command line. mtu_bytes: of the card that has the node's address.

    devices: of the node. A router that finds a bridge ends unless the fast path is asked for as it
    was when the bridge was made: where the kernel has none, a router made the bridge without.

    No flag of the allocator is there: it is then off. The peers are only the first ones; the
    kubelet tells it of all.
    """
    is_plain = overlay.BRIDGE in devices and overlay.DATAPATH not in devices
    return [
        program,
        f"--name={overlay.peer_mac(settings.node_name)}",
        f"--nickname={settings.node_name}",
        f"--port={PORT}",
        f"--http-addr=127.0.0.1:{CONTROL}",
        f"--status-addr=127.0.0.1:{STATUS}",
        "--docker-api=",
        "--no-dns",
        "--host-root=/",
        f"--mtu={mtu_bytes - overlay.WEAVE_OVERHEAD_BYTES}",
        f"--datapath={overlay.DATAPATH}",
        *(["--no-fastdp"] if is_plain else []),
        "--conn-limit=0",
        f"--db-prefix={settings.state}/",
        *settings.peers,
    ]


def environment_for(settings: WeaveSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return its environment: the password, and that it asks no server about versions."""
    own = {"CHECKPOINT_DISABLE": "1", "WEAVE_PASSWORD": settings.password}
    return {**inherited, **own}
