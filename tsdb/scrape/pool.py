"""The loops of the scraper: one for each target, one for each job's discovery."""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import aiohttp

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from tsdb.cooperative import run_in_slices
from tsdb.errors import BadData, LimitExceeded, TsdbError
from tsdb.faults import Faults
from tsdb.ingest import Ingest
from tsdb.outbound import authorization, tls_of
from tsdb.scrape.arrivals import Arrivals
from tsdb.scrape.intake import Intake, Report
from tsdb.scrape.targets import Target, TargetState, discovered, targets_of
from tsdb.settings import ScrapeJob, TargetGroup
from tsdb.storage.commit import Committer
from tsdb.storage.store import Store
from tsdb.wire.exposition import Exposition, parse_exposition
from tsdb.wire.unpack import unpacked

log = Log(__name__)

type Appender = Callable[[], None]

ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
DISCOVERY_HEADERS = {"Accept": "application/json"}
DISCOVERY_BYTES_MAX = 16 * 2**20
TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, TsdbError, UnicodeDecodeError)


@dataclass(frozen=True)
class Question:
    """What is asked where. server_name: what its certificate must name; empty: the address."""

    url: str
    headers: Mapping[str, str]
    server_name: str = ""
    redirects: bool = True


class Pool:
    """Scrapes every job's targets until cancelled; then marks their series as stale."""

    def __init__(
        self, jobs: list[ScrapeJob], store: Store, ingest: Ingest, env: Env, faults: Faults
    ) -> None:
        self._jobs, self._store, self._ingest, self._env = jobs, store, ingest, env
        self._faults = faults
        self.arrivals = Arrivals()
        self._states: dict[Target, TargetState] = {}
        self._committer: Committer | None = None

    def states(self) -> Iterator[TargetState]:
        for _, state in sorted(self._states.items(), key=lambda item: item[0].url):
            yield state

    async def run(self, committer: Committer) -> None:
        """Keep all targets of all jobs scraped."""
        self._committer = committer
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._job(job))

    def _now_ms(self) -> int:
        return round(self._env.clock.now().timestamp() * 1000)

    async def _job(self, job: ScrapeJob) -> None:
        """Scrape one job for ever, and begin again after whatever went wrong with it."""
        while True:
            try:
                await self._scraped(job)
            except* (OSError, ssl.SSLError) as error:
                # A certificate that is missing now may be there later.
                log.warning("scrape job cannot begin", job=job.name, reason=error.exceptions[0])
            except* Exception as error:  # noqa: BLE001  no job ends the others, or the store
                self._faults.told("discovery", error, job=job.name)
            await self._env.clock.sleep(job.http_sd_interval_s)

    async def _scraped(self, job: ScrapeJob) -> None:
        try:
            await self._scraped_in_session(job)
        finally:
            for target in [target for target in self._states if target.job == job.name]:
                del self._states[target]

    async def _scraped_in_session(self, job: ScrapeJob) -> None:
        known: dict[str, list[TargetGroup]] = {}
        connector = aiohttp.TCPConnector(ssl=tls_of(job.tls), limit=0)
        async with (
            # What comes packed is unpacked by us, who count while unpacking.
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
            asyncio.TaskGroup() as group,
        ):
            while True:
                for url in job.http_sd:
                    found = await self._discover(session, job, url)
                    if found is not None:
                        known[url] = found
                # A discovery that fails keeps what it said last: nothing vanishes with it.
                groups = [*job.groups, *(g for url in sorted(known) for g in known[url])]
                with self._faults.caught("discovery", job=job.name):
                    await self._reconcile(job, session, group, targets_of(job, groups))
                await self._env.clock.sleep(job.http_sd_interval_s)

    async def _discover(
        self, session: aiohttp.ClientSession, job: ScrapeJob, url: str
    ) -> list[TargetGroup] | None:
        try:
            body = await _body(
                session, Question(url, DISCOVERY_HEADERS), job.timeout_s, DISCOVERY_BYTES_MAX
            )
            return discovered(body, self._store.limits)
        except TROUBLE as error:
            log.warning("service discovery failed", job=job.name, url=url, reason=_reason(error))
        except Exception as error:  # noqa: BLE001  no answer of a discovery ends its job
            self._faults.told("discovery", error, job=job.name, url=url)
        return None

    async def _reconcile(
        self,
        job: ScrapeJob,
        session: aiohttp.ClientSession,
        group: asyncio.TaskGroup,
        wanted: list[Target],
    ) -> None:
        mine = {target for target in self._states if target.job == job.name}
        for target in sorted(mine - set(wanted), key=lambda found: found.url):
            state = self._states.pop(target)
            if state.task is not None:
                state.task.cancel()
                await asyncio.wait([state.task])
        for target in wanted:
            if target not in self._states:
                state = self._states[target] = TargetState(target)
                state.task = group.create_task(self._loop(job, session, state))

    async def _loop(
        self, job: ScrapeJob, session: aiohttp.ClientSession, state: TargetState
    ) -> None:
        """Scrape one target at its own moments of a fixed grid, until cancelled."""
        intake = Intake(self._store, self._ingest, job, state.target, self._now_ms)
        interval_ms = max(1, round(state.target.interval_s * 1000))
        offset_ms = round(1000 * state.target.offset_s)
        due_ms = (self._now_ms() - offset_ms) // interval_ms * interval_ms + offset_ms
        try:
            while True:
                now_ms = self._now_ms()
                # What was missed is not made up for; the next moment of the grid counts.
                due_ms += max(1, -(-(now_ms - due_ms) // interval_ms)) * interval_ms
                await self._env.clock.sleep((due_ms - now_ms) / 1000)
                with self._faults.caught("scrape", target=state.target.url):
                    await self._scrape(job, session, state, intake, due_ms)
        finally:
            with self._faults.caught("scrape", target=state.target.url):
                self._append_quietly(lambda: intake.retire(self._now_ms()), state)

    async def _scrape(
        self,
        job: ScrapeJob,
        session: aiohttp.ClientSession,
        state: TargetState,
        intake: Intake,
        at_ms: int,
    ) -> None:
        began_s = self._env.clock.monotonic()
        found: Exposition | None = None
        added = 0
        try:
            found = await self._ask(job, session, state.target)
            added = await run_in_slices(intake.take(found, at_ms), self._env.clock)
            state.health, state.last_error = "up", ""
            self.arrivals.note()
        except Exception as error:  # noqa: BLE001  whatever a target says, it is down and no more
            self._down(state, error)
            self._append_quietly(lambda: intake.end(at_ms), state)
        state.last_duration_s = self._env.clock.monotonic() - began_s
        samples = len(found.series) if found is not None else 0
        report = Report(state.health == "up", state.last_duration_s, samples, added)
        self._append_quietly(lambda: intake.report(report, at_ms), state)
        if self._committer is not None:
            try:
                await self._committer.acknowledge()
            except TsdbError as error:
                state.last_error = str(error)

    def _down(self, state: TargetState, error: Exception) -> None:
        if not isinstance(error, TROUBLE):
            self._faults.told("scrape", error, target=state.target.url)
        elif state.health != "down":
            log.warning("scrape failed", target=state.target.url, reason=_reason(error))
        state.health, state.last_error = "down", _reason(error)

    def _append_quietly(self, append: Appender, state: TargetState) -> None:
        """Append what nobody waits for; a refusal is shown with the target."""
        try:
            append()
        except TsdbError as error:
            state.last_error = str(error)

    async def _ask(
        self, job: ScrapeJob, session: aiohttp.ClientSession, target: Target
    ) -> Exposition:
        headers = {"Accept": ACCEPT, "X-Prometheus-Scrape-Timeout-Seconds": str(job.timeout_s)}
        headers |= authorization(job.bearer_token_file)
        body = await _body(
            session,
            Question(target.url, headers, target.server_name, redirects=job.follow_redirects),
            job.timeout_s,
            job.body_bytes,
        )
        return await run_in_slices(
            parse_exposition(body.decode(), job.sample_limit), self._env.clock
        )


async def _body(
    session: aiohttp.ClientSession, question: Question, timeout_s: float, limit: int
) -> bytes:
    """Return what a URL answers, no more of it than the limit, packed or not.

    Raises:
        BadData: another status than 200. LimitExceeded: it is longer. And what aiohttp raises.
    """
    async with asyncio.timeout(timeout_s):
        asking = session.get(
            question.url,
            headers={**question.headers, "Accept-Encoding": "gzip"},
            allow_redirects=question.redirects,
            server_hostname=question.server_name or None,
        )
        async with asking as answer:
            if answer.status != 200:
                raise BadData(f"server returned HTTP status {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise LimitExceeded("body_bytes", limit, len(body))
            coding = answer.headers.get("Content-Encoding", "")
    return unpacked(bytes(body), coding, limit, "body_bytes")


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
