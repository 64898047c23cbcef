"""What is scraped and how it went: /api/v1/targets."""

from collections.abc import Callable, Iterable

from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import Route
from tsdb.scrape.targets import TargetState
from tsdb.serve import answers


class Targets:
    """The handler that shows the scraper's targets."""

    def __init__(self, states: Callable[[], Iterable[TargetState]]) -> None:
        self._states = states

    def routes(self) -> list[Route]:
        return [("GET", "/api/v1/targets", self.targets)]

    async def targets(self, _request: Request) -> Response:
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
            for state in self._states()
        ]
        return answers.success({"activeTargets": active, "droppedTargets": []})
