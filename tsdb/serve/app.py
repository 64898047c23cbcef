"""The server: routes, errors as Prometheus tells them, TLS, health."""

import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from cubernetes.host.log import Log
from tsdb.errors import BadData, TsdbError
from tsdb.serve import answers
from tsdb.serve.own import exposition, own_metrics
from tsdb.serve.queries import Queries
from tsdb.serve.targets import Targets
from tsdb.serve.writes import Writes
from tsdb.settings import TlsSettings
from tsdb.store import Store
from tsdb.upkeep import Upkeep

log = Log(__name__)

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RETRY_AFTER_S = 5


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as JSON with its errorType; a bug is logged and answers 500."""
    try:
        return await handler(request)
    except TsdbError as error:
        return _told(error)
    except web.HTTPException as error:
        refusal = BadData(error.reason)
        refusal.code = error.status
        return _told(refusal, error.headers.get("Allow"))
    except Exception as error:  # noqa: BLE001  the last place that can still answer
        log.bug("request failed", error, path=request.path)
        return _told(TsdbError("internal error, the server's log tells more"))


def _told(error: TsdbError, allow: str | None = None) -> web.Response:
    answer = web.Response(
        status=error.code, body=answers.failure(error), content_type="application/json"
    )
    if error.code == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    if allow:
        answer.headers["Allow"] = allow
    return answer


class Health:
    """Whether the program lives and serves, and its own numbers."""

    def __init__(self, store: Store, queries: Queries, upkeep: Upkeep) -> None:
        self._store, self._queries, self._upkeep = store, queries, upkeep

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/-/healthy", self.healthy),
            web.get("/-/ready", self.healthy),
            web.get("/metrics", self.metrics),
        ]

    async def healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="the time-series store is ready\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        refusals = self._upkeep.refusals_in_a_row
        body = exposition(own_metrics(self._store, self._queries, refusals))
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=body, headers=headers)


def make_app(
    parts: list[Queries | Writes | Health | Targets], request_bytes: int
) -> web.Application:
    """Return the application of these parts; no request body may be larger."""
    app = web.Application(middlewares=[tell_errors], client_max_size=request_bytes)
    for part in parts:
        app.add_routes(part.routes())
    return app


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return what serves https: TLS 1.2 or newer, clients checked if a CA for them is named.

    Raises:
        OSError, ssl.SSLError: a file is missing or no good.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    if settings.client_ca:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
