"""The store's housekeeping in the background: blocks, merging, retention, repair, snapshots."""

import asyncio

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from tsdb.cooperative import run_in_slices
from tsdb.errors import DiskRefused
from tsdb.faults import Faults
from tsdb.steps import as_steps
from tsdb.storage.store import Store

log = Log(__name__)

# While the disk refuses, look more often whether it does still.
PAUSE_AFTER_REFUSAL_S = 1.0


class Upkeep:
    """Runs one piece of work at a time: a snapshot and a flush never see half of each other."""

    def __init__(self, store: Store, env: Env, interval_s: float, faults: Faults) -> None:
        self._store, self._env, self._interval_s = store, env, interval_s
        self._faults = faults
        self._turn = asyncio.Lock()
        self.refusals_in_a_row = 0

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            pause_s = self._interval_s
            if self.refusals_in_a_row:
                pause_s = min(pause_s, PAUSE_AFTER_REFUSAL_S)
            await self._env.clock.sleep(pause_s)
            with self._faults.caught("upkeep"):
                await self.once()

    async def once(self) -> None:
        """Do what is due now; a disk that refuses is logged once per streak."""
        try:
            async with self._turn:
                await run_in_slices(as_steps(self._store.maintain()), self._env.clock)
        except DiskRefused as error:
            if not self.refusals_in_a_row:
                log.warning("upkeep refused by the disk", reason=error)
            self.refusals_in_a_row += 1
            return
        if self.refusals_in_a_row:
            log.info("upkeep works again", refusals=self.refusals_in_a_row)
            self.refusals_in_a_row = 0

    async def snapshot(self) -> str:
        """Write a snapshot and return its name.

        Raises:
            DiskRefused: the disk is full or failing.
        """
        moment = self._env.clock.now().strftime("%Y%m%dT%H%M%SZ")
        name = f"{moment}-{self._env.rng.chars(8)}"
        async with self._turn:
            await run_in_slices(as_steps(self._store.snapshot(name)), self._env.clock)
        log.info("snapshot written", name=name)
        return name
