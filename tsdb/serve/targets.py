"""What is scraped and how it went: /api/v1/targets."""

import msgspec
from aiohttp import web

from tsdb.scrape.pool import Pool
from tsdb.serve import answers


class Targets:
    """The handler that shows the scraper's targets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/targets", self.targets)]

    async def targets(self, _request: web.Request) -> web.Response:
        active = [
            {
                "discoveredLabels": {},
                "labels": dict(state.target.labels),
                "scrapePool": state.target.job,
                "scrapeUrl": state.target.url,
                "lastError": state.last_error,
                "lastScrapeDuration": state.last_duration_s,
                "health": state.health,
            }
            for state in self._pool.states()
        ]
        data = msgspec.json.encode({"activeTargets": active, "droppedTargets": []})
        return web.Response(body=answers.success(data), content_type="application/json")
