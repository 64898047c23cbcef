"""`cubectl wait`: return when objects have a condition, or are gone."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from cubectl.printers import name_of
from cubectl.session import Failed, Misused, Session
from cubectl.targets import Target, targets_in
from cubectl.verb import Verb, add_selection, selection_of, span_s
from cubectl.waiting import TooLate, has_condition, is_gone, wait_until
from cubernetes.api.codec import Tree
from cubernetes.api.errors import NotFound

type Judge = Callable[[Tree | None], bool]


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="KIND [NAME ...] | KIND/NAME ...")
    parser.add_argument(
        "--for", dest="what", required=True, metavar="delete | condition=TYPE[=STATUS]"
    )
    parser.add_argument("--all", action="store_true", help="all of the kind, in the namespace")
    parser.add_argument("--timeout", default="30s", help="for all together (default 30s)")
    add_selection(parser)


def run(options: Namespace, session: Session) -> None:
    until_s = session.monotonic() + span_s(options.timeout)
    is_deletion, word = _wanted(options.what)
    targets = _targets(options, session)
    if not targets and not is_deletion:
        raise Failed("no such objects: nothing to wait for")
    for target in targets:
        place = session.namespace if target.kind.resource.namespaced else ""
        title = name_of(target.kind, target.name)
        judge = _judge(session, target, place, options.what, is_deletion=is_deletion)
        left_s = max(0.0, until_s - session.monotonic())
        try:
            wait_until(session, target.kind, target.name, place, judge, left_s)
        except TooLate:
            session.fail(f"{title}: not {word} after {options.timeout}")
        else:
            session.say(f"{title} {word}")


def _wanted(what: str) -> tuple[bool, str]:
    """Return whether to wait for deletion, and the word for what was waited for."""
    if what == "delete":
        return True, "deleted"
    name, _, rest = what.partition("=")
    if name != "condition" or not rest:
        raise Misused(f"--for={what!r}: use delete, or condition=TYPE such as condition=Ready")
    return False, f"met condition {rest}"


def _judge(session: Session, target: Target, place: str, what: str, *, is_deletion: bool) -> Judge:
    if not is_deletion:
        kind, _, status = what.partition("=")[2].partition("=")
        return has_condition(kind, status or "True")
    try:
        tree = session.api.get(target.kind, target.name, place)
    except NotFound:
        return is_gone("")
    return is_gone(str(tree["metadata"].get("uid", "")))


def _targets(options: Namespace, session: Session) -> list[Target]:
    targets = targets_in(options.words)
    if all(target.name for target in targets):
        return targets
    query = selection_of(options)
    if not query and not options.all:
        raise Misused("name what to wait for, or use -l or --all")
    return [
        Target(target.kind, tree["metadata"]["name"])
        for target in targets
        for tree in session.api.list(target.kind, session.namespace, query).items
    ]


VERB = Verb("wait", "return when objects are as asked", configure, run)
