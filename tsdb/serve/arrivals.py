"""Waiting for new samples: /api/v1/arrivals, which Prometheus does not have."""

from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route
from tsdb.scrape.arrivals import Arrivals
from tsdb.serve import answers, parameters

WAIT_MS, WAIT_MS_MAX = 5_000, 10_000


class Waiting:
    """The handler of those who wait."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def routes(self) -> list[Route]:
        path = "/api/v1/arrivals"
        return [("GET", path, self.arrivals), ("POST", path, self.arrivals)]

    async def arrivals(self, request: Request) -> Response:
        asked = parameters.of_request(request)
        after = parameters.count(asked, "after")
        wait_ms = parameters.span_ms(asked, "timeout", WAIT_MS)
        wait_s = max(0, min(wait_ms, WAIT_MS_MAX)) / 1000
        number = await self._arrivals.after(-1 if after is None else after, wait_s)
        return answers.success({"number": number})
