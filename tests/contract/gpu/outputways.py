"""The way of an output from a site's driver to the API server, over real TLS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from apiserver.http.jobs import NAME, HttpsJobs
from apiserver.settings import Settings
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.client.connect import ClientSettings
from gpu import outputs
from gpu.driver import SiteDriver, Stream
from gpu.outputs import STOP_S, Outputs
from gpu.settings import GpuSettings
from tests.contract.store.certificates import Authority, write_pair


class NeverEnds:
    """A driver of a site that says something once, and then nothing more."""

    async def output(
        self,
        site: GpuSite,
        key: str,
        stream: Stream,
        offset: int,
        *,
        follow: bool,
    ) -> AsyncGenerator[bytes, None]:
        yield b""
        yield b"words\n"
        await asyncio.Event().wait()


class Way:
    """What the program knows: one site; and who asks it."""

    jobs: HttpsJobs

    def __init__(self, site: GpuSite, driver: SiteDriver) -> None:
        self.site, self.driver, self.is_ended = site, driver, False

    def site_named(self, name: str) -> tuple[GpuSite, SiteDriver] | None:
        return (self.site, self.driver) if name == self.site.metadata.name else None

    def is_over(self, _key: str) -> bool:
        return self.is_ended


@asynccontextmanager
async def told_outputs(
    folder: Path,
    site: GpuSite,
    driver: object,
    client: str = "system:apiserver",
    quiet_s: float = outputs.QUIET_S,
) -> AsyncIterator[Way]:
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.own.cert)
    for name, user, names in (("gpu", "system:gpu", (NAME,)), ("client", client, ())):
        write_pair(folder, name, authority.sign(user, names=names))
    ca = str(folder / "ca.crt")
    told = GpuSettings(
        client=ClientSettings(servers=(), ca=""),
        cert=f"{folder}/gpu.crt", key=f"{folder}/gpu.key", client_ca=ca,
    )  # fmt: skip
    way = Way(site, cast(SiteDriver, driver))
    answers = Outputs(told, way, quiet_s)
    await answers.listen()
    settings = Settings(
        kubelet_ca=ca, kubelet_cert=f"{folder}/client.crt", kubelet_key=f"{folder}/client.key",
        jobs_url=f"https://127.0.0.1:{answers.server.port}",
    )  # fmt: skip
    way.jobs = HttpsJobs(settings)
    try:
        yield way
    finally:
        await way.jobs.close()
        await answers.server.stop(STOP_S)
