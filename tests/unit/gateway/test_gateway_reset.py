"""What a reset of the gateway takes away, also where something of it fails."""

from pathlib import Path

import pytest

from cubernetes.client.connect import ClientSettings
from cubernetes.host.env import Env
from cubernetes.host.program import CannotGoOn
from gateway.nginx.tree import TLS
from gateway.reset import reset
from gateway.settings import GatewaySettings


async def test_keys_are_removed_also_where_docker_does_not_answer(tmp_path: Path) -> None:
    """They stayed on the disk of a node that was no gateway any more."""
    root = tmp_path / "root"
    (root / TLS).mkdir(parents=True)
    (root / TLS / "one.pem").write_bytes(b"a key")
    settings = GatewaySettings(
        client=ClientSettings(servers=("https://127.0.0.1:1",), ca=str(tmp_path / "none")),
        node_name="n1",
        root=str(root),
        docker=str(tmp_path / "docker.sock"),
    )

    with pytest.raises(CannotGoOn, match=r"container cube-gateway: .*; image .*docker\.sock"):
        await reset(settings, Env())

    assert not root.exists()
