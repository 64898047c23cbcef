"""Netlink must speak on the loop that the daemons run on, and on the plain one."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kubelet.network.links import device, index_of
from kubelet.network.namespace import OWN, inside, netlink


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_netlink_answers_on_either_loop(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    async def look() -> None:
        async with netlink(OWN) as here, asyncio.timeout(60):
            assert await index_of(here, "lo") == 1
            assert await device(here, "no-such") is None
            assert "lo" in [link.get("ifname") async for link in await here.link("dump")]

    run(look())


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change namespaces")
def test_stepping_over_ends_where_it_began(tmp_path: Path) -> None:
    before = Path(OWN).readlink()
    with inside("/proc/self/ns/net"):
        assert Path(OWN).readlink() == before
    with pytest.raises(FileNotFoundError), inside(str(tmp_path / "gone")):
        pytest.fail("there is no such namespace")
    assert Path(OWN).readlink() == before
