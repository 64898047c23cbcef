"""What a GPU job has written, where it ran outside of this cluster."""

from urllib.parse import quote, urlencode

from apiserver.backend import Backend
from apiserver.call import Call
from apiserver.state.keys import key_of
from apiserver.state.statuses import absent
from apiserver.subresources.subresource import Method, Subresource
from apiserver.wire.parameters import COMMON, NUMBER, TEXT, TRUTH, Parameter
from cubernetes.api.errors import BadRequest, ServiceUnavailable
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.host.web.messages import Response

STREAMS = ("out", "err")
OFFSET_MAX = 10**15 - 1


async def output(backend: Backend, call: Call) -> Response:
    """Hand on what a job's site has of one of its outputs, as it comes."""
    stream = call.request.parameter("stream") or "out"
    if stream not in STREAMS:
        raise BadRequest("stream: must be out or err")
    follow = call.is_set("follow")
    offset = call.number("offset", 0, OFFSET_MAX)
    await backend.caught_up()
    found = backend.mirror.item(key_of(call.kind, call.namespace, call.name))
    if found is None or not isinstance(found.object, GpuJob):
        raise absent(call.kind.resource, call.name)
    path = _path(found.object, stream)
    if backend.jobs is None:
        raise ServiceUnavailable("this server has no way to the program of GPU jobs")
    user = call.identity.user
    backend.watchers.check_room(user)
    opening = backend.jobs.open(path, urlencode({"follow": str(follow).lower(), "offset": offset}))
    lines = await (backend.watchers.followed(user, opening) if follow else opening)
    return Response(200, lines, content_type="text/plain")


def _path(job: GpuJob, stream: str) -> str:
    """Raises: BadRequest: it has no output there, and why."""
    status = job.status
    if not status.site_job_id:
        why = status.message or "it waits"
        raise BadRequest(f"{job.metadata.name} has no output yet, {status.phase}: {why}")
    if "/" in status.site_job_id:
        raise BadRequest(f"its output is the log of its pod {status.site_job_id}")
    words = (status.site, status.submission_key, stream)
    return "/output/" + "/".join(quote(one, safe="") for one in words)


OUTPUT = Subresource(
    "output",
    (
        Method(
            "GET",
            "get",
            output,
            (
                *COMMON,
                Parameter("stream", TEXT, "out or err; out where nothing is said."),
                Parameter("follow", TRUTH, "Go on as more is written, until the job is over."),
                Parameter("offset", NUMBER, "Leave out so many bytes."),
            ),
        ),
    ),
    media="text/plain",
)
