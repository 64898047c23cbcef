"""`cubectl post-mortem POD`: what is known of the ends of a pod's containers, in one place.

Of each: its last end by the pod's status, what its kubelet told of it, and the last lines of its
log; of a pod that is gone, what its node has kept. Nothing is concluded; what is not known is said
to be so.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from cubectl.objects.targets import PODS, pod_called
from cubectl.output.printers import safe
from cubectl.session import Misused, Session
from cubectl.verb import Verb
from cubernetes.api.bodies.postmortem import PostMortem, PostMortemList
from cubernetes.api.coding import codec
from cubernetes.api.core.event import Event
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podstatus import ContainerStatus, StateTerminated
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.client.wire.queries import log_query, selection_query

LINES = 20
LOG_BYTES_MAX = 64 * 1024
KEPT_BYTES_MAX = 16 * 1024 * 1024
STORY = "ContainerDied"  # the reason of the kubelet's Events about ends


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="POD")
    parser.add_argument("-c", "--container", default="", help="only of this one")


def run(options: Namespace, session: Session) -> None:
    if len(options.words) != 1:
        raise Misused("name one pod: cubectl post-mortem web-0")
    name = pod_called(options.words[0], session.kinds, "a post-mortem is of one pod")
    kept = _kept(session, name)
    try:
        tree = session.api.get(PODS, name, session.namespace)
    except NotFound:
        found = list(_gone(name, session.namespace, kept, options.container))
        lines = [*found, *_unknown(kept)]
        session.out.write("".join(f"{safe(line)}\n" for line in lines))
        if not found:
            raise
        return
    pod = codec.served(Pod, tree)
    statuses = _chosen(pod, options.container)
    about = selection_query("", f"involvedObject.uid={pod.metadata.uid}")
    trees = session.api.list(Event.resource, pod.metadata.namespace, about).items
    events = [codec.served(Event, one) for one in trees]
    for line in _of_pod(pod):
        session.out.write(f"{safe(line)}\n")
    for status in statuses:
        for line in _of_container(session, pod, status, events, kept.items):
            session.out.write(f"{safe(line)}\n")


def _kept(session: Session, name: str) -> PostMortemList:
    """Return what nodes have kept of the ends of this pod, as far as this user may read logs."""
    query = log_query(post_mortem=True)
    text = bytearray()
    try:
        for chunk in session.api.log(PODS, name, session.namespace, query):
            text += chunk
            if len(text) > KEPT_BYTES_MAX:
                return PostMortemList()
        return codec.decode(PostMortemList, bytes(text))
    except (ApiError, msgspec.DecodeError):
        return PostMortemList()  # The status, Events and logs are told without it.


def _gone(name: str, namespace: str, kept: PostMortemList, container: str) -> Iterator[str]:
    """Yield what is kept of pods that are gone; nothing where nothing is."""
    found = [one for one in kept.items if container in ("", one.container)]
    if not found:
        return
    yield f"pod {namespace}/{name} is gone; its node has kept:"
    for one in found:
        yield f"container {one.container}, started again {one.attempt} times, of pod {one.uid}:"
        yield f"  told at {_moment(one.ended_at)}: {one.story}"
        yield from _lines(one.log)


def _unknown(kept: PostMortemList) -> Iterator[str]:
    """Yield what may be kept beside what is told."""
    if kept.silent:
        yield f"{', '.join(kept.silent)} did not answer, and may have more"
    if kept.omitted:
        yield f"{kept.omitted} older ones are not told: the answer would be too long"


def _chosen(pod: Pod, name: str) -> Sequence[ContainerStatus]:
    """Raises: Misused."""
    status = pod.status
    every = [
        *status.init_container_statuses,
        *status.container_statuses,
        *status.ephemeral_container_statuses,
    ]
    if not name:
        return every
    found = [one for one in every if one.name == name]
    if not found:
        known = ", ".join(one.name for one in every) or "none yet"
        raise Misused(f"--container: the pod's status has no {name!r}; it has: {known}")
    return found


def _of_pod(pod: Pod) -> Iterator[str]:
    place = f" on {pod.spec.node_name}" if pod.spec.node_name else ", on no node"
    why = f" ({pod.status.reason})" if pod.status.reason else ""
    yield f"pod {pod.metadata.namespace}/{pod.metadata.name}{place}: {pod.status.phase}{why}"
    if pod.status.message:
        yield f"  {pod.status.message}"


def _of_container(
    session: Session,
    pod: Pod,
    status: ContainerStatus,
    events: Sequence[Event],
    kept: Sequence[PostMortem],
) -> Iterator[str]:
    ended = status.state.terminated or status.last_state.terminated
    yield f"container {status.name}, started again {status.restart_count} times:"
    if ended is None:
        yield "  no end of it is known"
        return
    yield f"  {_end(ended)}"
    if ended.message:
        yield f"  its last message: {ended.message.strip()}"
    mine = [one for one in kept if (one.uid, one.container) == (pod.metadata.uid, status.name)]
    if mine:
        yield f"  told at {_moment(mine[0].ended_at)}: {mine[0].story}"
    else:
        yield from _told(status.name, events)
    yield from _log(session, pod, status, mine[:1])


def _end(ended: StateTerminated) -> str:
    signal = f", by signal {ended.signal}" if ended.signal else ""
    why = f" ({ended.reason})" if ended.reason else ""
    return f"ended with code {ended.exit_code}{signal}{why} at {_moment(ended.finished_at)}"


def _told(name: str, events: Sequence[Event]) -> Iterator[str]:
    """Yield the newest of what the kubelet told of a container's ends."""
    mine = [
        one
        for one in events
        if one.reason == STORY and one.involved_object.field_path.endswith(f"{{{name}}}")
    ]
    newest = max(mine, key=lambda one: str(one.last_timestamp or ""), default=None)
    if newest is not None:
        yield f"  told at {_moment(newest.last_timestamp)}: {newest.message}"


def _log(
    session: Session, pod: Pod, status: ContainerStatus, kept: Sequence[PostMortem]
) -> Iterator[str]:
    """Yield the end of a log, or what is kept of it, as far as this user may read logs."""
    is_previous = status.state.terminated is None
    query = log_query(container=status.name, tail=LINES, previous=is_previous)
    found = bytearray()
    try:
        for chunk in session.api.log(PODS, pod.metadata.name, pod.metadata.namespace, query):
            found += chunk
            if len(found) > LOG_BYTES_MAX:
                break
    except ApiError as error:
        if not kept:
            yield f"  its log cannot be read: {error}"
        for one in kept:
            yield from _lines(one.log)
        return
    text = bytes(found[-LOG_BYTES_MAX:]).decode(errors="backslashreplace")
    yield from _lines(text.splitlines()[-LINES:])


def _lines(lines: Sequence[str]) -> Iterator[str]:
    yield "  the last lines of its log:" if lines else "  its log is empty"
    yield from (f"    {line}" for line in lines)


def _moment(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else "an unknown time"


VERB = Verb(configure, run)
