"""`cubectl logs`: what a container has printed."""

from argparse import ArgumentParser, Namespace
from codecs import getincrementaldecoder

from cubectl.objects.gpujobs import gpujob_called, output_of
from cubectl.objects.targets import PODS, pod_called
from cubectl.output.printers import safe_lines
from cubectl.session import Misused, Session
from cubectl.verb import Verb, add_selection, selection_of, span_s
from cubernetes.api.resource import Resource
from cubernetes.client.wire.queries import Query, log_query, output_query

STREAMS = {"out": "Stdout", "err": "Stderr"}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="POD [CONTAINER] | gpujob/NAME")
    parser.add_argument("-c", "--container", default="")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("-p", "--previous", action="store_true", help="of the container before")
    parser.add_argument("--tail", type=int, default=-1, metavar="LINES", help="only the last ones")
    parser.add_argument("--since", default="", help="only of the last 30s, 5m, 2h")
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--stream", choices=STREAMS, help="only what was written there")
    add_selection(parser, fields=False)


def run(options: Namespace, session: Session) -> None:
    query = _query(options)
    if len(options.words) == 1 and (job := gpujob_called(options.words[0], session)):
        kind, name = output_of(job, session, follow=options.follow)
        print_log(session, kind, name, query if kind == PODS else _elsewhere(options))
        return
    pods = _pods(options, session)
    if options.follow and len(pods) > 1:
        raise Misused(f"-f follows one pod, the selector found {len(pods)}")
    for pod in pods:
        print_log(session, PODS, pod, query)


def _query(options: Namespace) -> Query:
    if options.tail < -1:
        raise Misused("--tail: must be 0 or more lines")
    container = options.container or (options.words[1] if len(options.words) > 1 else "")
    return log_query(
        container=container,
        follow=options.follow,
        tail=options.tail if options.tail >= 0 else None,
        previous=options.previous,
        timestamps=options.timestamps,
        since_s=max(1, round(span_s(options.since))) if options.since else None,
        stream=STREAMS[options.stream] if options.stream else "",
    )


def _elsewhere(options: Namespace) -> Query:
    """Return what is asked of a site outside of the cluster, which keeps bytes and no lines."""
    words = {
        "--container": options.container, "--previous": options.previous,
        "--tail": options.tail >= 0, "--since": options.since, "--timestamps": options.timestamps,
    }  # fmt: skip
    if given := [word for word, value in words.items() if value]:
        raise Misused(f"{', '.join(given)}: not for a job at a site outside of the cluster")
    return output_query(stream=options.stream or "", follow=options.follow)


def _pods(options: Namespace, session: Session) -> list[str]:
    if options.selector:
        if options.words:
            raise Misused("name a pod or use a selector, not both")
        items = session.api.list(PODS, session.namespace, selection_of(options)).items
        return [tree["metadata"]["name"] for tree in items]
    if not options.words or len(options.words) > 2:
        raise Misused("name one pod, and perhaps its container: cubectl logs POD [CONTAINER]")
    word = options.words[0]
    why = f"logs are of pods; use -l for those of a {word.split('/')[0]}"
    return [pod_called(word, session.kinds, why)]


def print_log(session: Session, kind: Resource, name: str, query: Query) -> None:
    """Pass a log on; on a terminal, what could command it is written out."""
    is_terminal = session.out.isatty()
    decoder = getincrementaldecoder("utf-8")(errors="backslashreplace")
    part = "log" if kind == PODS else "output"
    for chunk in session.api.log(kind, name, session.namespace, query, part=part):
        text = decoder.decode(chunk)
        session.out.write(safe_lines(text) if is_terminal else text)
        session.out.flush()
    session.out.write(decoder.decode(b"", final=True))


VERB = Verb(configure, run)
