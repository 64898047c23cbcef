"""The logs that are kept of pods that are gone, over HTTPS: which there are, and each of them."""

from cubernetes.api.bodies.keptlogs import KeptLog, KeptLogList
from cubernetes.api.bodies.postmortem import PostMortemList
from cubernetes.api.coding import codec
from cubernetes.api.errors import BadRequest
from cubernetes.client.wire.logquery import log_query
from cubernetes.host.clock import Clock
from cubernetes.host.web.messages import Request, Response
from cubernetes.host.web.site import HttpRefusal, Route
from kubelet.keptlogs.asked import limited, options_of
from kubelet.keptlogs.retention import Kept
from kubelet.keptlogs.shelf import KeptLogs

PATH = "/keptLogs/{namespace}/{pod}"
POST_MORTEMS = "/postMortems/{namespace}/{pod}"


class KeptSite:
    """Answers of pods by their names, whether they are still here or not."""

    def __init__(self, kept: KeptLogs, clock: Clock) -> None:
        self._kept, self._clock = kept, clock

    def routes(self) -> list[Route]:
        return [
            ("GET", PATH, self.found),
            ("GET", POST_MORTEMS, self.post_mortems),
            ("GET", f"{PATH}/{{uid}}/{{container}}/{{attempt}}", self.log),
        ]

    async def found(self, request: Request) -> Response:
        """Raises: Refused."""
        lives = [one.life for one in await self._of_pod(request)]
        lives.sort(key=lambda life: (life.made_at, life.uid, life.attempt), reverse=True)
        told = (KeptLog(uid=one.uid, made_at=one.made_at, container=one.container,
                        attempt=one.attempt, is_default=one.is_default)
                for one in lives)  # fmt: skip
        return Response(200, codec.encode(KeptLogList(items=tuple(told))))

    async def post_mortems(self, request: Request) -> Response:
        """Raises: Refused."""
        names = dict(request.names)
        try:
            found = await self._kept.stories.of_pod(names["namespace"], names["pod"])
        except OSError as error:
            raise HttpRefusal(503, f"the post-mortems cannot be read: {error}") from error
        return Response(200, codec.encode(PostMortemList(items=tuple(found))))

    async def log(self, request: Request) -> Response:
        """Raises: Refused."""
        try:
            asked = log_query(request.query)
        except BadRequest as error:
            raise HttpRefusal(400, str(error)) from error
        names = dict(request.names)
        wanted = (names["uid"], names["container"], names["attempt"])
        for one in await self._of_pod(request):
            if (one.life.uid, one.life.container, str(one.life.attempt)) == wanted:
                text = self._kept.log_of(one.life, options_of(asked, self._clock.now()))
                if asked.limit_bytes is not None:
                    text = limited(text, asked.limit_bytes)
                return Response(200, text, content_type="text/plain")
        raise HttpRefusal(404, f"no such log of pod {names['pod']} is kept any more")

    async def _of_pod(self, request: Request) -> list[Kept]:
        """Raises: Refused."""
        names = dict(request.names)
        try:
            return await self._kept.of_pod(names["namespace"], names["pod"])
        except OSError as error:
            raise HttpRefusal(503, f"the kept logs cannot be read: {error}") from error
