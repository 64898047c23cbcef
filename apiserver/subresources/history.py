"""What an autoscaler has decided, as the store of samples tells it."""

import asyncio

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.keys import key_of
from apiserver.state.statuses import absent
from apiserver.subresources.subresource import Method, Subresource
from apiserver.verbs.read import reach
from apiserver.wire.parameters import COMMON, NUMBER, Parameter
from cubernetes.api.autoscaling.history import AutoscalerHistory
from cubernetes.api.coding import codec
from cubernetes.api.errors import BadRequest, ServiceUnavailable
from cubernetes.api.metrics.rules import equals
from cubernetes.autoscaling.record import SERIES, entries_in
from cubernetes.host.web.messages import Response
from cubernetes.reconcile.readings import SourceTrouble

SINCE = "sinceSeconds"
SINCE_S, SINCE_S_MAX = 3600, 15 * 86_400
# Of one answer; a client that is refused asks for less time.
POINTS_MAX = 3_000_000
DEADLINE_S = 20.0
AWAY = "the store of samples is away, or not enabled (cuberoot enable tsdb)"


async def history(backend: Backend, call: Call) -> Response:
    """Raises: NotFound, BadRequest, ServiceUnavailable."""
    since_s = call.number(SINCE, SINCE_S, SINCE_S_MAX) or 1
    await reach(backend, call)
    if backend.mirror.item(key_of(call.kind, call.namespace, call.name)) is None:
        raise absent(call.kind.resource, call.name)
    if backend.samples is None:
        raise ServiceUnavailable(AWAY)
    named = {"kind": call.kind.resource.kind, "namespace": call.namespace, "name": call.name}
    # What pods tell of themselves has the label of a pod, which they cannot take off.
    conditions = [equals(label, text) for label, text in {**named, "pod": ""}.items()]
    query = f"{SERIES}{{{','.join(conditions)}}}[{since_s}s]"
    try:
        async with asyncio.timeout(DEADLINE_S):
            tracks = await backend.samples.tracks(query)
    except (SourceTrouble, TimeoutError) as error:
        raise ServiceUnavailable(f"{AWAY}: {error}", retry_after_s=5) from error
    if (count := sum(len(one.points) for one in tracks)) > POINTS_MAX:
        raise BadRequest(f"{SINCE}: {count} samples, at most {POINTS_MAX}: ask for less time")
    entries = await backend.env.blocking.run(
        ("history", call.name), lambda: entries_in((one.labels, one.points) for one in tracks)
    )
    return Response(200, codec.encode(AutoscalerHistory(entries=tuple(entries))))


HISTORY = Subresource(
    "history",
    (
        Method(
            "GET",
            "get",
            history,
            (*COMMON, Parameter(SINCE, NUMBER, "How far back; an hour where nothing is said.")),
        ),
    ),
    model=AutoscalerHistory,
)
