"""How a Weave router is begun: its command line and its environment. Pure."""

from collections.abc import Mapping

from kubelet.network import overlay
from kubelet.settings import WeaveSettings

PROGRAM = "weaver"
CONTROL, STATUS, PORT = 6784, 6782, overlay.WEAVE_PORTS[0]


def argv_for(settings: WeaveSettings, program: str, mtu_bytes: int) -> list[str]:
    """Return the command line. mtu_bytes: of the card that has the node's address.

    No flag of the allocator is there: it is then off. The peers are only the first ones; the
    kubelet tells it of all.
    """
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
        "--conn-limit=0",
        f"--db-prefix={settings.state}/",
        *settings.peers,
    ]


def environment_for(settings: WeaveSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return its environment: the password, and that it asks no server about versions."""
    own = {"CHECKPOINT_DISABLE": "1", "WEAVE_PASSWORD": settings.password}
    return {**inherited, **own}
