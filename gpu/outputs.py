"""What jobs have written at sites outside of the cluster, over HTTPS: for the API server."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.host.web.httpserver import HttpServer, Limits
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import HttpRefusal, Route, RoutedSite
from cubernetes.host.web.tls import server_tls
from gpu.driver import SiteDriver, SiteTrouble, Stream, TellsOutput
from gpu.settings import GpuSettings

LOOPBACK = "127.0.0.1"
LIMITS = Limits(connections_max=256, unknown_max=16)
STREAMS: dict[str, Stream] = {"out": "out", "err": "err"}
OPEN_S, STOP_S = 8.0, 1.0
# So long a job's site may be silent after the job has ended, before its followers are let go.
QUIET_S = 5.0


class Known(Protocol):
    """What the program knows."""

    def site_named(self, name: str) -> tuple[GpuSite, SiteDriver] | None: ...

    def is_over(self, key: str) -> bool:
        """Whether nothing more comes of a submission."""
        ...


class Outputs:
    """Answers the API server, and nobody else."""

    def __init__(self, settings: GpuSettings, known: Known, quiet_s: float = QUIET_S) -> None:
        self._settings, self._known, self._quiet_s = settings, known, quiet_s
        site = RoutedSite(self.routes(), LIMITS, check_may=self.check_may)
        self.server = HttpServer(site, LIMITS, troubles=(SiteTrouble,))

    def routes(self) -> list[Route]:
        return [("GET", "/output/{site}/{key}/{stream}", self.output)]

    async def run(self) -> None:
        """Answer until cancelled."""
        await self.listen()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.server.stop(STOP_S)

    async def listen(self) -> None:
        """Raises: OSError, ssl.SSLError: the port or the certificate is no good."""
        told = self._settings
        tls = server_tls(told.cert, told.key, told.client_ca)
        await self.server.listen(LOOPBACK, told.output_port, tls)

    def check_may(self, request: Request) -> None:
        """Raises: HttpRefusal."""
        if request.identity.user != self._settings.client_name:
            raise HttpRefusal(403, f"only {self._settings.client_name} may ask")

    async def output(self, request: Request) -> Response:
        """Answer once the site does, and hand on what it says. Raises: HttpRefusal."""
        named = dict(request.names)
        stream = STREAMS.get(named["stream"])
        offset = request.parameter("offset", "0")
        if stream is None or not (offset.isascii() and offset.isdigit()):
            raise HttpRefusal(400, "an output is out or err, and offset a whole number")
        found = self._known.site_named(named["site"])
        if found is None:
            raise HttpRefusal(404, f"there is no GpuSite {named['site']!r} any more")
        site, driver = found
        if not isinstance(driver, TellsOutput):
            raise HttpRefusal(400, f"outputs of the site {named['site']} are logs of pods")
        follow, key = request.parameter("follow") == "true", named["key"]
        pieces = driver.output(site, key, stream, int(offset), follow=follow)
        try:
            async with asyncio.timeout(OPEN_S):
                await anext(pieces, b"")
        except (SiteTrouble, TimeoutError) as error:
            await pieces.aclose()
            told = str(error) or f"no answer in {OPEN_S:g} s"
            raise HttpRefusal(503, f"site {named['site']}: {told}") from error
        # What is read once ends by itself, however long the site takes for a part of it.
        is_over = partial(self._known.is_over, key) if follow else _never
        text = until_over(pieces, is_over, self._quiet_s)
        return Response(200, text, content_type="text/plain")


def _never() -> bool:
    return False


async def until_over(
    pieces: AsyncGenerator[bytes, None], is_over: Callable[[], bool], quiet_s: float
) -> AsyncGenerator[bytes, None]:
    """Yield what comes, until the end; or until nothing does, of a job that is over.

    A site that has lost a job never says that its output has ended.
    """
    async with aclosing(pieces):
        while True:
            coming = asyncio.ensure_future(anext(pieces, None))
            try:
                while not coming.done():
                    was_over = is_over()
                    await asyncio.wait({coming}, timeout=quiet_s)
                    if was_over and not coming.done():
                        return
                part = coming.result()
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
            if part is None:
                return
            if part:
                yield part
