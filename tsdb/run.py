"""The program: opens the store, serves it, keeps house, scrapes, and ends in good order."""

import asyncio
from pathlib import Path

from aiohttp import web

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from tsdb.commit import Committer
from tsdb.ingest import Ingest
from tsdb.promql.evaluate import Settings as QuerySettings
from tsdb.query import Engine
from tsdb.scrape.pool import Pool
from tsdb.select import Reader
from tsdb.serve.app import Health, make_app, tls_context
from tsdb.serve.queries import Queries
from tsdb.serve.targets import Targets
from tsdb.serve.writes import Writes
from tsdb.settings import TsdbSettings
from tsdb.store import Store, open_store
from tsdb.upkeep import Upkeep

log = Log(__name__)


async def run(settings: TsdbSettings, env: Env) -> None:
    """Serve until cancelled; then finish the requests at hand, sync and close.

    Raises:
        AlreadyOpen: another process has the folder.
        OSError, ssl.SSLError: the folder, the address or a certificate is no good.
    """
    began_s = env.clock.monotonic()
    store = open_store(Path(settings.data_dir), settings.limits, settings.options)
    log.info(
        "store opened",
        folder=settings.data_dir,
        blocks=len(store.blocks),
        series=len(store.head),
        replayed=store.counters.replayed.samples,
        damage=store.counters.log_damage.places,
        took_s=round(env.clock.monotonic() - began_s, 3),
    )
    try:
        await _serve(settings, env, store)
    finally:
        store.close()
        log.info("store closed", folder=settings.data_dir)


async def _serve(settings: TsdbSettings, env: Env, store: Store) -> None:
    ingest = Ingest(store)
    committer = Committer(store, env.clock, settings.fsync_interval_s)
    upkeep = Upkeep(store, env, settings.upkeep_interval_s)
    reader = Reader(store)
    lookback = QuerySettings(lookback_ms=int(settings.lookback_s * 1000))
    engine = Engine(reader, settings.limits, lookback)
    queries = Queries(reader, engine, settings.limits, env.clock, ingest)
    writes = Writes(store, ingest, committer, upkeep, env.clock)
    pool = Pool(settings.scrape, store, ingest, env)
    app = make_app(
        [queries, writes, Health(store, queries, upkeep), Targets(pool)],
        settings.limits.request_bytes,
    )
    # A query whose client has gone is cancelled, and ends at its next turn.
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=settings.stop_grace_s
    )
    await runner.setup()
    try:
        tls = tls_context(settings.tls) if settings.tls else None
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=tls).start()
        log.info("serving", host=settings.host, port=settings.port, tls=tls is not None)
        async with asyncio.TaskGroup() as group:
            group.create_task(upkeep.run())
            group.create_task(pool.run(committer))
            await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
        await committer.finish()
