"""`cubectl cordon` and `cubectl uncordon`: whether a node takes new pods."""

from argparse import ArgumentParser, Namespace
from functools import partial

from cubectl.output.printers import name_of, safe
from cubectl.session import Misused, Session
from cubectl.verb import Verb, add_selection, selection_of
from cubernetes.api.errors import ApiError
from cubernetes.api.resource import Resource

NODES = Resource("", "v1", "Node", "nodes", namespaced=False)
DRY = " (dry run)"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="NODE")
    add_selection(parser, fields=False)
    add_dry_run(parser)


def add_dry_run(parser: ArgumentParser) -> None:
    """Let a verb rehearse; every rehearsal asks the server, which changes nothing."""
    parser.add_argument(
        "--dry-run",
        choices=("none", "client", "server"),
        default="none",
        const="server",
        nargs="?",
        help="ask the server, change nothing",
    )


def nodes_in(options: Namespace, session: Session) -> list[str]:
    """Return the names of the nodes that are meant. Raises: Misused, ApiError."""
    query = selection_of(options)
    if bool(options.words) == bool(query):
        raise Misused("name nodes, or choose them by -l")
    if not query:
        return [str(word).removeprefix("node/") for word in options.words]
    return [one["metadata"]["name"] for one in session.api.list(NODES, "", query).items]


def set_schedulable(name: str, options: Namespace, session: Session, *, is_on: bool) -> None:
    """Let a node take new pods, or not, and say so. Raises: ApiError."""
    is_dry = options.dry_run != "none"
    title = name_of(NODES, name)
    word = "uncordoned" if is_on else "cordoned"
    found = session.api.get(NODES, name, "")
    if bool(found["spec"].get("unschedulable")) != is_on:
        session.say(f"{title} already {word}{DRY if is_dry else ''}")
        return
    change = {"spec": {"unschedulable": None if is_on else True}}
    session.api.patch(NODES, name, "", change, is_dry=is_dry)
    session.say(f"{title} {word}{DRY if is_dry else ''}")


def _run(options: Namespace, session: Session, *, is_on: bool) -> None:
    for name in nodes_in(options, session):
        try:
            set_schedulable(name, options, session, is_on=is_on)
        except ApiError as error:
            session.fail(safe(error.message))


CORDON = Verb(configure, partial(_run, is_on=False))
UNCORDON = Verb(configure, partial(_run, is_on=True))
