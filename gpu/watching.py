"""What each site said last: asked again when it has news, or time has passed; one slow site keeps
no other waiting."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from gpu.driver import Report, SiteDriver, SiteTrouble
from gpu.settings import GpuSettings
from gpu.sites.registry import Drivers

log = Log(__name__)


@dataclass(slots=True)
class Known:
    """What is known of one site. asked_at_s: when the answer was asked for, by our clock.

    trouble: why the last question was not answered; what was said before is kept beside it.
    """

    report: Report | None = None
    asked_at_s: float = float("-inf")
    trouble: str = "it has not been asked yet"
    is_due: bool = True
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Watching:
    """Asks sites, each by one task at a time."""

    def __init__(
        self, drivers: Drivers, env: Env, settings: GpuSettings, changed: Callable[[], None]
    ) -> None:
        self._drivers, self._env, self._settings = drivers, env, settings
        self._changed = changed
        self.known: dict[str, Known] = {}
        for driver in drivers.values():
            driver.on_change(self._wake)

    def _wake(self) -> None:
        for one in self.known.values():
            one.is_due = True
        self._changed()

    def driver(self, site: GpuSite) -> SiteDriver:
        return self._drivers[site.spec.type]

    def ask(self, sites: Iterable[GpuSite]) -> None:
        """Ask those that are due, and forget those that are not there any more."""
        now_s, there = self._env.clock.monotonic(), set()
        for site in sites:
            name = site.metadata.uid
            there.add(name)
            one = self.known.setdefault(name, Known())
            is_old = now_s - one.asked_at_s >= self._settings.ask_interval_s
            if one.task is None and (one.is_due or is_old):
                one.is_due = False
                one.task = asyncio.get_running_loop().create_task(self._ask(site, one))
        for name in self.known.keys() - there:
            if (task := self.known.pop(name).task) is not None:
                task.cancel()

    async def close(self) -> None:
        tasks = [one.task for one in self.known.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, site: GpuSite, one: Known) -> None:
        asked_at_s = self._env.clock.monotonic()
        before, trouble, report = one.trouble, "", None
        try:
            async with asyncio.timeout(self._settings.ask_deadline_s):
                report = await self.driver(site).observe(site)
        except (SiteTrouble, TimeoutError) as error:
            trouble = str(error) or f"no answer in {self._settings.ask_deadline_s:g} s"
        except Exception as bug:  # noqa: BLE001  a bug must not take other sites down
            log.bug("a site could not be asked", bug, site=site.metadata.name)
            trouble = f"{type(bug).__name__}: {bug}"
        one.asked_at_s, one.trouble, one.task = asked_at_s, trouble, None
        if trouble and trouble != before:
            log.warning("a site does not answer", site=site.metadata.name, why=trouble)
        if report is not None:
            one.report = report
        self._changed()
