"""What the API server counts: requests, commits, watches; and GET /metrics."""

from functools import partial

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.mirror import Mirror
from apiserver.state.watchcache import KindCache
from apiserver.state.watching import WatchRegistry
from cubernetes.host.metrics import TEXT_FORMAT, Histogram, Metrics
from cubernetes.host.web.messages import Response


class Counts:
    """The API server's own families."""

    def __init__(self, metrics: Metrics, mirror: Mirror, watchers: WatchRegistry) -> None:
        self.in_flight = metrics.gauge("cube_apiserver_requests_in_flight", "Requests under way.")
        self.waiting = metrics.gauge(
            "cube_apiserver_requests_waiting", "Requests that wait for a seat or for room."
        )
        self.body_bytes = metrics.gauge(
            "cube_apiserver_body_bytes", "Bytes that bodies in memory have, or may come to have."
        )
        self.proxied = metrics.gauge(
            "cube_apiserver_proxied_requests",
            "Requests handed on to pods, services and nodes, whose answers have not ended.",
        )
        self._requests = metrics.histogram(
            "cube_apiserver_request_seconds",
            "Requests until the answer began, by what was asked and its code.",
            "verb",
            "resource",
            "code",
        )
        # Labels are looked up once for each combination: it costs more than the counting.
        self._known: dict[tuple[str, str, int], Histogram] = {}
        revision = metrics.gauge("cube_apiserver_revision", "The store's revision, as mirrored.")
        revision.set_function(lambda: mirror.revision)
        open_watches = metrics.gauge("cube_apiserver_watches", "Watches that are open.")
        open_watches.set_function(lambda: watchers.count)
        self._objects = metrics.gauge("cube_apiserver_objects", "Objects by kind.", "kind")
        self._kinds: set[str] = set()
        self.count_kinds(mirror)

    def count_kinds(self, mirror: Mirror) -> None:
        """Tell of the kinds that the mirror holds now, and of no others."""
        caches = {kind.resource.word: cache for kind, cache in mirror.kinds.items()}
        for name in self._kinds - caches.keys():
            self._objects.remove(name)
        for name, cache in caches.items():
            self._objects.labels(name).set_function(partial(_count, cache))
        self._kinds = {*caches}

    def answered(self, verb: str, resource: str, code: int, spent_s: float) -> None:
        key = (verb, resource, code)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._requests.labels(*key)
        known.observe(spent_s)


def _count(cache: KindCache) -> int:
    return len(cache.items)


async def metrics(backend: Backend, _: Call) -> Response:
    return Response(200, backend.env.metrics.text(), content_type=TEXT_FORMAT)
