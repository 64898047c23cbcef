"""The program: opens the store, serves it, keeps house, scrapes, and ends in good order."""

import asyncio
import ssl
from pathlib import Path

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.web.tls import server_tls
from tsdb.faults import Faults
from tsdb.ingest import Ingest
from tsdb.promql.evaluate import Settings as QuerySettings
from tsdb.query import Engine
from tsdb.remote.reading import RemoteReader
from tsdb.remote.writing import RemoteWriter
from tsdb.scrape.pool import Pool
from tsdb.select import Reader
from tsdb.serve.app import Health, limits_of, server_of
from tsdb.serve.arrivals import Waiting
from tsdb.serve.own import Remote
from tsdb.serve.queries import Queries
from tsdb.serve.targets import Targets
from tsdb.serve.writes import Writes
from tsdb.settings import TlsSettings, TsdbSettings
from tsdb.storage.commit import Committer
from tsdb.storage.store import Store, open_store
from tsdb.storage.upkeep import Upkeep

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
    faults = Faults()
    ingest = Ingest(store)
    committer = Committer(store, env.clock, settings.fsync_interval_s)
    upkeep = Upkeep(store, env, settings.upkeep_interval_s, faults)
    reader = Reader(store)
    lookback = QuerySettings(lookback_ms=int(settings.lookback_s * 1000))
    engine = Engine(reader, settings.limits, lookback)
    elsewhere = RemoteReader(settings.remote_read) if settings.remote_read else None
    queries = Queries(reader, engine, settings.limits, env.clock, ingest, elsewhere)
    writes = Writes(store, ingest, committer, upkeep, env.clock)
    pool = Pool(settings.scrape, store, ingest, env, faults)
    writers = [RemoteWriter(one, store, env, faults) for one in settings.remote_write]
    remote = Remote(writers, elsewhere)
    health = Health(store, queries, upkeep, env.metrics, faults, remote)
    parts = (queries, writes, health, Targets(pool.states), Waiting(pool.arrivals))
    routes = [route for part in parts for route in part.routes()]
    server = server_of(routes, faults, limits_of(settings.limits))
    try:
        tls = _tls(settings.tls) if settings.tls else None
        await server.listen(settings.host, settings.port, tls)
        log.info("serving", host=settings.host, port=settings.port, tls=tls is not None)
        async with asyncio.TaskGroup() as group:
            group.create_task(upkeep.run())
            group.create_task(pool.run(committer))
            for writer in writers:
                group.create_task(writer.run())
    finally:
        # The supervisor ends what is not done within the grace.
        end_at = env.clock.monotonic() + 0.8 * settings.stop_grace_s
        pool.arrivals.close()
        await server.stop(settings.stop_grace_s / 2)
        await committer.finish()
        left_s = max(0.0, end_at - env.clock.monotonic())
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.finish(left_s))


def _tls(settings: TlsSettings) -> ssl.SSLContext:
    return server_tls(settings.certificate, settings.key, settings.client_ca)
