"""`cubectl logs`: what containers have printed, of one pod or of many at once."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cubectl.objects.gpujobs import gpujob_called, output_of
from cubectl.objects.podof import pods_behind
from cubectl.objects.targets import PODS, target_in
from cubectl.objects.waiting import named
from cubectl.output.logtext import LogText
from cubectl.output.printers import safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb, add_selection, selection_of, span_s
from cubectl.verbs.reaching.logsources import Source, Which, are_over, readable, sources_of
from cubernetes.api.errors import ApiError
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.client.wire.paths import collection_of, path_of
from cubernetes.client.wire.queries import Query, log_query, output_query

STREAMS = {"out": "Stdout", "err": "Stderr"}
# As kubectl: of pods that a selector finds the last lines, where nothing else is asked for.
SELECTED_TAIL = 10
FOLLOWED_MAX = 5


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="POD | TYPE/NAME [CONTAINER] | gpujob/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("-p", "--previous", action="store_true",
                        help="of the life before; of a pod that is gone, the last")  # fmt: skip
    parser.add_argument("--life", type=int, metavar="COUNT", help="so many lives ago; -p is 1")
    parser.add_argument("--deleted", action="store_true",
                        help="of the pod that was called so before it was deleted")  # fmt: skip
    parser.add_argument("--tail", type=int, metavar="LINES",
                        help=f"only the last; -1 for all ({SELECTED_TAIL} with -l)")  # fmt: skip
    parser.add_argument("--since", default="", help="only of the last 30s, 5m, 2h")
    parser.add_argument("--since-time", default="", metavar="TIME", help="as 2026-03-01T10:00:00Z")
    parser.add_argument("--limit-bytes", type=int, metavar="BYTES", help="of each log")
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--all-containers", action="store_true")
    parser.add_argument("--all-pods", action="store_true", help="of TYPE/NAME; so it always is")
    parser.add_argument("--prefix", action="store_true", help="begin lines with pod and container")
    parser.add_argument("--ignore-errors", action="store_true", help="end with 0 all the same")
    parser.add_argument("--max-log-requests", type=int, default=FOLLOWED_MAX, metavar="COUNT",
                        help=f"how many are followed at once (default {FOLLOWED_MAX})")  # fmt: skip
    parser.add_argument("--stream", choices=STREAMS, help="only what was written there")
    add_selection(parser, fields=False)


def run(options: Namespace, session: Session) -> None:
    _check(options)
    words = options.words
    if len(words) == 1 and (job := gpujob_called(words[0], session)):
        kind, name = output_of(job, session, follow=options.follow)
        query = _query(options, _container(options)) if kind == PODS else _elsewhere(options)
        print_log(session, kind, name, query)
        return
    pod = _pod_called(options, session)
    if pod is not None and not (options.all_containers or options.prefix):
        print_log(session, PODS, pod, _query(options, _container(options)))
        return
    # A pod whose name is given is there, or that is told.
    found = _found(options, session, pod)
    if options.follow:
        _follow(options, session, found)
    else:
        _print(options, session, found)


def _check(options: Namespace) -> None:
    """Raises: Misused."""
    words = options.words
    if options.selector and words:
        raise Misused("name a pod or use a selector, not both")
    if not options.selector and not 0 < len(words) <= 2:
        raise Misused("name one pod, and perhaps its container: cubectl logs POD [CONTAINER]")
    if options.tail is not None and options.tail < -1:
        raise Misused("--tail: must be -1 or more lines")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        raise Misused("--limit-bytes: must be 1 or more")
    if options.max_log_requests < 1:
        raise Misused("--max-log-requests: must be 1 or more")
    if options.since and options.since_time:
        raise Misused("--since and --since-time: use one of them")
    if options.all_containers and _container(options):
        raise Misused("--all-containers: goes with no container's name")
    _check_lives(options)


def _check_lives(options: Namespace) -> None:
    """Raises: Misused."""
    if options.life is not None and (options.previous or options.life < 0):
        raise Misused("--life: must be 0 or more lives; --previous is --life 1, so use one of them")
    if options.deleted and (options.selector or options.all_containers or options.prefix):
        raise Misused("--deleted: goes with one pod's name, and perhaps its container's")


def _container(options: Namespace) -> str:
    return str(options.container or (options.words[1] if len(options.words) > 1 else ""))


def _query(options: Namespace, container: str, *, is_late: bool = False) -> Query:
    """Return what is asked of a log; of a container that came while we follow, all of it."""
    tail = options.tail if options.tail is not None else SELECTED_TAIL if options.selector else -1
    return log_query(
        container=container,
        follow=options.follow,
        tail=tail if tail >= 0 and not is_late else None,
        previous=options.previous,
        life=options.life,
        deleted=options.deleted,
        timestamps=options.timestamps,
        since_s=max(1, round(span_s(options.since))) if options.since and not is_late else None,
        since_time=options.since_time,
        limit_bytes=options.limit_bytes,
        stream=STREAMS[options.stream] if options.stream else "",
    )


def _elsewhere(options: Namespace) -> Query:
    """Return what is asked of a site outside of the cluster, which keeps bytes and no lines."""
    words = {
        "--container": options.container, "--previous": options.previous,
        "--life": options.life is not None, "--deleted": options.deleted,
        "--tail": (options.tail or 0) >= 0 and options.tail is not None,
        "--since": options.since, "--since-time": options.since_time,
        "--timestamps": options.timestamps, "--limit-bytes": options.limit_bytes,
    }  # fmt: skip
    if given := [word for word, value in words.items() if value]:
        raise Misused(f"{', '.join(given)}: not for a job at a site outside of the cluster")
    return output_query(stream=options.stream or "", follow=options.follow)


def _pod_called(options: Namespace, session: Session) -> str | None:
    """Return the pod that is named; None where many are meant. Raises: Misused."""
    if options.selector:
        return None
    word = str(options.words[0])
    if "/" not in word:
        return word
    target = target_in(word, session.kinds)
    is_pod = (target.kind.group, target.kind.plural) == ("", PODS.plural)
    return target.name if is_pod else None


class Found(NamedTuple):
    """How pods are asked for, those that there are, as of a revision; and what of them is read."""

    selection: Query
    pods: Sequence[Tree]
    revision: str
    which: Which
    has_prefix: bool
    is_one: bool  # a pod that was named


def _found(options: Namespace, session: Session, pod: str | None) -> Found:
    """Raises: Failed: there is nothing to read."""
    selection = selection_of(options)
    if pod is not None:
        session.api.get(PODS, pod, session.namespace)  # it tells where there is none
        selection = named(pod)
    elif not options.selector:
        selection = pods_behind(options.words[0], session)
    items, revision = session.api.list(PODS, session.namespace, selection)
    which = Which(_container(options), options.all_containers)
    has_prefix = options.prefix or (pod is None and not options.selector)
    if not items:
        session.tell(f"no pods in namespace {session.namespace}")
    elif not any(sources_of(one, which) for one in items):
        raise Failed(f"container {which.container!r} is in none of its {len(items)} pods")
    return Found(selection, items, revision, which, has_prefix, pod is not None)


def _print(options: Namespace, session: Session, found: Found) -> None:
    """Print one log after the other; one that cannot be read holds up no other."""
    for pod in found.pods:
        for source in sources_of(pod, found.which):
            text = _text(session, source.prefix if found.has_prefix else "")
            query = _query(options, source.container)
            try:
                _pass_on(session, session.api.log(PODS, source.pod, session.namespace, query), text)
            except ApiError as error:
                _fail(options, session, source, safe(error.message))


def _fail(options: Namespace, session: Session, source: Source, why: str) -> None:
    tell = session.tell if options.ignore_errors else session.fail
    tell(f"{source.prefix}{why}")


def _follow(options: Namespace, session: Session, found: Found) -> None:
    """Follow all of them, and those that come. Raises: Misused, Unreachable."""
    followed = [one for pod in found.pods for one in readable(pod, found.which)]
    if len(followed) > options.max_log_requests:
        raise Misused(
            f"you are attempting to follow {len(followed)} log streams, but maximum allowed"
            f" concurrency is {options.max_log_requests}, use --max-log-requests to increase"
        )
    # asyncio and aiohttp are slow to import, and nothing else here needs them.
    from cubectl.verbs.reaching.following import Plan, follow
    from cubernetes.client.httptransport import HttpTransport

    place = session.transport.place
    session.out.flush()
    encoding = session.out.encoding or "utf-8"
    texts: dict[Source, LogText] = {}

    def show(source: Source, piece: bytes) -> bytes:
        text = texts.get(source)
        if text is None:
            prefix = source.prefix if found.has_prefix else ""
            text = texts[source] = _text(session, prefix)
        shown = text.feed(piece) if piece else texts.pop(source).end()
        return shown.encode(encoding, "backslashreplace")

    def asked(source: Source, is_late: bool) -> tuple[str, Query]:
        path = path_of(PODS, session.namespace, source.pod, "log")
        return path, _query(options, source.container, is_late=is_late)

    follow(
        HttpTransport.of(
            place.url,
            place.tls,
            place.headers,
            server_name=place.server_name or "",
            connection_max=options.max_log_requests + 1,  # and the watch
        ),
        Plan(
            collection_of(PODS, session.namespace),
            found.selection,
            found.pods,
            found.revision,
            options.max_log_requests,
            lambda pod: readable(pod, found.which),
            lambda source: source.place,
            asked,
            show,
            session.out.fileno(),
            lambda pods: are_over(pods, is_one=found.is_one),
            session.tell,
            lambda source, why: _fail(options, session, source, safe(why)),
        ),
        deadline_s=session.choice.timeout_s,
    )


def _text(session: Session, prefix: str) -> LogText:
    return LogText(is_terminal=session.out.isatty(), by_line=True, prefix=prefix)


def _pass_on(session: Session, pieces: Iterator[bytes], text: LogText) -> None:
    for piece in pieces:
        session.out.write(text.feed(piece))
        session.out.flush()
    session.out.write(text.end())


def print_log(session: Session, kind: Resource, name: str, query: Query) -> None:
    """Pass a log on; on a terminal, what could command it is written out."""
    part = "log" if kind == PODS else "output"
    pieces = session.api.log(kind, name, session.namespace, query, part=part)
    _pass_on(session, pieces, LogText(is_terminal=session.out.isatty()))


VERB = Verb(configure, run)
