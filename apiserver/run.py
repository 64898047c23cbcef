"""From settings to a server that answers: the store, the authority, the kubelets, the listener."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from apiserver.about.audit import STRANGERS
from apiserver.backend import JobOutputs, KubeletLogs, Signer, TokenKeys
from apiserver.enrolment.accountkeys import AccountKeys
from apiserver.enrolment.signer import Authority
from apiserver.http.app import App
from apiserver.http.jobs import HttpsJobs
from apiserver.http.kubelets import HttpsKubelets
from apiserver.server import ApiServer
from apiserver.settings import Settings
from apiserver.state.revisionmark import RevisionMark
from apiserver.storage.store import Store, Unavailable
from cubernetes.host.env import Env
from cubernetes.host.loaded import keep_loaded
from cubernetes.host.log import Log, log_to_file
from cubernetes.host.timing.backoff import backoff_s
from cubernetes.reconcile.tsdbsource import metric_source

log = Log(__name__)
# Keys that signed tokens before, of which tokens are still taken.
RETIRED_MAX = 64


async def run(settings: Settings, env: Env) -> None:
    """Serve until cancelled, or until the mirror of the store breaks."""
    if settings.strangers_log:
        log_to_file(STRANGERS, Path(settings.strangers_log), settings.strangers_log_bytes_max)
    async with AsyncExitStack() as stack:
        store = await opened(settings, env)
        stack.push_async_callback(store.close)
        logs: KubeletLogs | None = None
        if settings.kubelet_cert:
            kubelets = HttpsKubelets(settings)
            stack.push_async_callback(kubelets.close)
            logs = kubelets
        jobs: JobOutputs | None = None
        if settings.jobs_url:
            outputs = HttpsJobs(settings)
            stack.push_async_callback(outputs.close)
            jobs = outputs
        state = Path(settings.state) if settings.state else None
        mark = RevisionMark(state, env.clock, env.blocking)
        samples = await stack.enter_async_context(metric_source(settings.metrics_url))
        server = ApiServer(
            store,
            env,
            settings,
            logs=logs,
            signer=authority(settings, env),
            samples=samples,
            accounts=account_keys(settings, env.clock.now()),
            jobs=jobs,
        )
        app = App(server, settings)
        # Listening comes first: until the store is loaded the answer is «starting», not silence.
        await app.start()
        stack.push_async_callback(app.stop)
        stack.push_async_callback(server.stop)
        await mark.overtake(store)
        await server.start()
        keep_loaded()
        log.info("serving", address=settings.listen_address, port=app.port)
        mirror = server.backend.mirror
        keeping = asyncio.create_task(mark.keep(lambda: mirror.known))
        try:
            await mirror.ended()
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            await mark.set(mirror.known)


async def opened(settings: Settings, env: Env) -> Store:
    """Return the store, as soon as it can be reached: etcd may be starting just now."""
    if not settings.etcd_servers:
        from apiserver.storage.memory import MemoryStore

        log.warning("no etcd_servers: everything is kept in memory and lost at the end")
        return MemoryStore(env)
    # grpc is heavy to import, and only this store needs it.
    from apiserver.storage.etcd.store import connect
    from apiserver.storage.settings import EtcdSettings

    etcd = EtcdSettings(
        endpoints=settings.etcd_servers,
        ca_file=settings.etcd_ca,
        cert_file=settings.etcd_cert,
        key_file=settings.etcd_key,
        quota_bytes=settings.etcd_quota_bytes,
    )
    failure_count = 0
    while True:
        try:
            return await connect(etcd, env)
        except Unavailable as trouble:
            failure_count += 1
            log.warning("etcd does not answer", trouble=trouble, failure_count=failure_count)
            await env.clock.sleep(backoff_s(failure_count, base_s=0.05, limit_s=2.0))


def account_keys(settings: Settings, now: datetime) -> TokenKeys | None:
    """Return the keys for tokens of service accounts, where this server has them."""
    if not settings.account_key:
        return None
    retired = _retired(Path(settings.account_keys_retired), now, settings.account_token_s_max)
    return AccountKeys(Path(settings.account_key).read_bytes(), retired=retired)


def _retired(folder: Path, now: datetime, life_s: int) -> list[bytes]:
    """Return the keys whose tokens may still be good, the newest first."""
    since_s = now.timestamp() - life_s
    if not folder.name or not folder.is_dir():
        return []
    named = {int(one.stem): one for one in folder.glob("*.pub") if one.stem.isdigit()}
    good = sorted((at_s for at_s in named if at_s >= since_s), reverse=True)
    return [named[at_s].read_bytes() for at_s in good[:RETIRED_MAX]]


def authority(settings: Settings, env: Env) -> Signer | None:
    """Return the cluster's CA, where this server has its key."""
    if not settings.client_ca_key:
        return None
    ca, key = Path(settings.client_ca), Path(settings.client_ca_key)
    return Authority(ca.read_bytes(), key.read_bytes(), env.clock)
