"""Addresses are chosen at once and recorded beside other work; what is settled outlives a crash."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from cubernetes.host.blocking import DEADLINE_S, Key
from kubelet.network.pool import AddressPool

RANGE = IPv4Network("10.244.1.0/24")


class Disk:
    """Carries out what it is given once the test lets it."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.count = 0
        self.trouble = ""

    async def run[T](self, key: Key, work: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        self.count += 1
        await self.free.wait()
        if self.trouble:
            raise OSError(self.trouble)
        return work()


async def a_pool(path: Path) -> tuple[AddressPool, Disk]:
    disk = Disk()
    pool = AddressPool(path, disk)
    await pool.open(RANGE, {})
    disk.count = 0
    return pool, disk


async def another_life(path: Path) -> AddressPool:
    pool = AddressPool(path, Disk())
    await pool.open(RANGE, {})
    return pool


async def test_an_address_is_chosen_while_the_disk_is_still_at_work(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    pool, disk = await a_pool(path)
    disk.free.clear()
    first = pool.chosen("a")
    settling = asyncio.ensure_future(pool.settled())
    await asyncio.sleep(0)
    assert pool.held == {"a": first}
    assert pool.chosen("b") != first
    assert not settling.done()
    assert (await another_life(path)).held == {}
    disk.free.set()
    await settling
    assert (await another_life(path)).held == {"a": first}


async def test_choices_that_are_made_during_a_write_share_the_next(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    pool, disk = await a_pool(path)
    disk.free.clear()
    waiting = []
    for uid in ("a", "b", "c", "d"):
        pool.chosen(uid)
        waiting.append(asyncio.ensure_future(pool.settled()))
        await asyncio.sleep(0)
    disk.free.set()
    await asyncio.gather(*waiting)
    assert disk.count == 2
    assert (await another_life(path)).held == pool.held
    await pool.settled()
    assert disk.count == 2


async def test_what_the_disk_refused_is_written_by_who_waits_next(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    pool, disk = await a_pool(path)
    disk.trouble = "no space left on device"
    with pytest.raises(OSError, match="no space"):
        await pool.taken("a")
    disk.trouble = ""
    await pool.taken("a")
    assert (await another_life(path)).held == pool.held

    disk.trouble = "no space left on device"
    with pytest.raises(OSError, match="no space"):
        await pool.freed("a")
    assert (await another_life(path)).held.keys() == {"a"}
    disk.trouble = ""
    await pool.freed("a")
    assert (await another_life(path)).held == {}


async def test_who_gave_up_waiting_leaves_the_write_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    pool, disk = await a_pool(path)
    disk.free.clear()
    pool.chosen("a")
    settling = asyncio.ensure_future(pool.settled())
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait([settling])
    disk.free.set()
    await pool.settled()
    assert (await another_life(path)).held == pool.held


async def test_opening_again_forgets_no_choice(tmp_path: Path) -> None:
    pool, _ = await a_pool(tmp_path / "addresses")
    pool.chosen("a")
    await pool.open(RANGE, {})
    assert pool.held.keys() == {"a"}
