"""`cubectl cluster-info`, and `dump`: all that helps to find out what is wrong with a cluster."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import NamedTuple

from cubectl.objects.targets import PODS, target_in, targets_in
from cubectl.output.printers import json_text, list_of, safe, yaml_text
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubernetes.api.errors import ApiError
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.queries import log_query

# Of each namespace; of kinds that the cluster does not have nothing is told.
KINDS = (
    "events", "services", "pods", "replicasets", "deployments", "statefulsets", "daemonsets",
    "jobs", "cronjobs",
)  # fmt: skip
SYSTEM = "kube-system"
LOG_BYTES_MAX = 10 * 1024 * 1024


def configure(parser: ArgumentParser) -> None:
    parser.usage = "cubectl cluster-info [dump]"
    parser.add_argument("words", nargs="*", metavar="dump")
    parser.add_argument("--output-directory", default="", metavar="FOLDER|-",
                        help="dump: a file for each list and log; - is our stdout")  # fmt: skip
    parser.add_argument("--namespaces", default="", metavar="NAME,NAME",
                        help="dump: of these; else the current one and kube-system")  # fmt: skip
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="dump: of all")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), default="json")


def run(options: Namespace, session: Session) -> None:
    if options.words == ["dump"]:
        _dump(options, session)
        return
    if options.words or options.output_directory or options.namespaces or options.all_namespaces:
        raise Misused("cluster-info takes no words but dump, and the flags are dump's")
    session.api.raw("/version")
    session.say(f"Kubernetes control plane is running at {session.transport.place.url}")


class Piece(NamedTuple):
    """A list or a log, and the file that it goes to."""

    path: tuple[str, ...]
    text: str


def _dump(options: Namespace, session: Session) -> None:
    folder = "" if options.output_directory in ("", "-") else options.output_directory
    form = "yaml" if options.output == "yaml" else "json"
    for piece in _pieces(options, session, form):
        if folder:
            _write(folder, piece)
        else:
            session.out.write(piece.text)
    if folder:
        session.say(f"Cluster info dumped to {folder}")


def _write(folder: str, piece: Piece) -> None:
    """Raises: Failed."""
    for part in piece.path:
        if part in ("", ".", "..") or "/" in part or "\0" in part:
            raise Failed(f"{safe(part)!r}: the server tells a name that no object has")
    path = os.path.join(folder, *piece.path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(piece.text)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror or error}") from error


def _pieces(options: Namespace, session: Session, form: str) -> Iterator[Piece]:
    made = yaml_text if form == "yaml" else json_text
    (nodes,) = targets_in(["nodes"], session.kinds)
    yield Piece((f"nodes.{form}",), made(list_of(list(session.api.list(nodes.kind, "", ()).items))))
    for namespace in _namespaces(options, session):
        for plural in KINDS:
            target = target_in(plural, session.kinds)
            items = list(session.api.list(target.kind, namespace, ()).items)
            yield Piece((namespace, f"{plural}.{form}"), made(list_of(items)))
            if plural == PODS.plural:
                for pod in items:
                    yield from _logs(session, namespace, pod)


def _namespaces(options: Namespace, session: Session) -> list[str]:
    if options.all_namespaces:
        target = target_in("namespaces", session.kinds)
        return [str(one["metadata"]["name"]) for one in session.api.list(target.kind, "", ()).items]
    if options.namespaces:
        return [name for name in options.namespaces.split(",") if name]
    return list(dict.fromkeys((SYSTEM, session.namespace)))


def _logs(session: Session, namespace: str, pod: Tree) -> Iterator[Piece]:
    """Yield the logs of a pod's containers; one that has none says why."""
    name = str(pod["metadata"]["name"])
    for container in pod["spec"].get("containers") or ():
        title = f"container {container['name']} of pod {namespace}/{name} ===="
        text = _harmless(_log(session, namespace, name, str(container["name"])))
        whole = f"==== START logs for {title}\n{text}==== END logs for {title}\n"
        yield Piece((namespace, name, f"{container['name']}.txt"), whole)


def _log(session: Session, namespace: str, pod: str, container: str) -> str:
    query = log_query(container=container, limit_bytes=LOG_BYTES_MAX)
    try:
        pieces = session.api.log(PODS, pod, namespace, query, part="log")
        return b"".join(pieces).decode(errors="backslashreplace")
    except ApiError as error:
        return f"{error.message}\n"


def _harmless(text: str) -> str:
    """Return a log whose lines command no terminal, and which ends a line."""
    return "".join(f"{safe(line)}\n" for line in text.splitlines())


VERB = Verb(configure, run)
