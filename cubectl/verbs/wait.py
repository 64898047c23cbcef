"""`cubectl wait`: return when objects have a condition, say a value, are there, or are gone.

What a selector chooses is waited for as a whole: until there is something, and all of it is as
asked. So it may stand right behind the command that makes the objects.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from cubectl.objects.targets import Target, targets_in
from cubectl.objects.waiting import (
    Judge,
    TooLate,
    all_have,
    are_gone,
    are_there,
    named,
    wait_until,
)
from cubectl.output.printers import name_of
from cubectl.session import Misused, Session
from cubectl.verb import Verb, add_selection, selection_of, span_s
from cubernetes.api.notation.jsonpath import Malformed, path_of, shown, values_at
from cubernetes.api.notation.jsontext import Tree


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="KIND [NAME ...] | KIND/NAME ...")
    parser.add_argument(
        "--for",
        dest="what",
        required=True,
        metavar="delete | create | condition=TYPE[=STATUS] | jsonpath={PATH}[=VALUE]",
    )
    parser.add_argument("--all", action="store_true", help="all of the kind, in the namespace")
    parser.add_argument("--timeout", default="30s", help="for all together (default 30s)")
    add_selection(parser)


def run(options: Namespace, session: Session) -> None:
    until_s = session.monotonic() + span_s(options.timeout)
    word, asked = _asked(options.what)
    targets = targets_in(options.words, session.kinds)
    query = selection_of(options)
    if not query and not options.all and not all(target.name for target in targets):
        raise Misused("name what to wait for, or use -l or --all")
    for target in targets:
        place = session.namespace if target.kind.namespaced else ""
        chosen = named(target.name) if target.name else query
        before = session.api.list(target.kind, place, chosen).items
        if options.what == "delete":
            _wait_for_ends(session, target, before, until_s, options.timeout)
            continue
        seen: list[Tree] = list(before)
        judge = _remembering(asked, seen)
        left_s = max(0.0, until_s - session.monotonic())
        try:
            wait_until(session, target.kind, place, chosen, judge, left_s)
        except TooLate:
            late = _titles(target, seen) or [f"no such {target.kind.plural}"]
            session.fail(f"{', '.join(late)}: not {word} after {options.timeout}")
            continue
        for title in _titles(target, seen):
            session.say(f"{title} {word}")


def _wait_for_ends(
    session: Session, target: Target, trees: Sequence[Tree], until_s: float, timeout: str
) -> None:
    """Wait for each by its name: one that only leaves a selection still lives."""
    if target.name and not trees:
        session.say(f"{name_of(target.kind, target.name)} deleted")
    for tree in trees:
        metadata = tree["metadata"]
        title, place = name_of(target.kind, metadata["name"]), metadata.get("namespace", "")
        left_s = max(0.0, until_s - session.monotonic())
        judge = are_gone([metadata.get("uid", "")])
        try:
            wait_until(session, target.kind, place, named(metadata["name"]), judge, left_s)
        except TooLate:
            session.fail(f"{title}: not deleted after {timeout}")
        else:
            session.say(f"{title} deleted")


def _asked(what: str) -> tuple[str, Judge]:
    """Return the word for what is waited for, and what tells whether it is so. Raises: Misused."""
    name, _, rest = what.partition("=")
    match name:
        case "delete" if not rest:
            return "deleted", are_gone(())
        case "create" if not rest:
            return "created", are_there()
        case "condition" if rest:
            kind, _, status = rest.partition("=")
            return f"met condition {rest}", all_have(kind, status or "True")
        case "jsonpath" if rest:
            return f"met {what}", _saying(rest)
    raise Misused(
        f"--for={what!r}: use delete, create, condition=TYPE such as condition=Ready, or "
        "jsonpath={PATH}=VALUE such as jsonpath={.status.phase}=Running"
    )


def _saying(text: str) -> Judge:
    """Return what tells whether `{PATH}=VALUE` holds. Raises: Misused."""
    path, _, rest = text.rpartition("}") if text.startswith("{") else text.partition("=")
    wanted: str | None = rest.removeprefix("=")
    if text.startswith("{") and rest[:1] not in ("", "="):
        raise Misused(f"--for=jsonpath={text}: must be {{PATH}} or {{PATH}}=VALUE")
    try:
        return _all_say(path.removeprefix("{"), wanted or None)
    except Malformed as error:
        raise Misused(f"--for=jsonpath={text}: {error}") from error


def _remembering(judge: Judge, seen: list[Tree]) -> Judge:
    """Return judge, which keeps in seen what it judged last."""

    def judged(trees: Sequence[Tree]) -> bool:
        seen[:] = trees
        return judge(trees)

    return judged


def _titles(target: Target, trees: Sequence[Tree]) -> list[str]:
    if target.name:
        return [name_of(target.kind, target.name)]
    return [name_of(target.kind, tree["metadata"]["name"]) for tree in trees]


def _all_say(path: str, wanted: str | None) -> Judge:
    """Return whether there are objects, and in all of them a path leads to a value.

    path: as in `-o jsonpath`, without its braces. wanted: the value, as text; None is any.

    Raises: Malformed.
    """
    where = path_of(path)

    def says(tree: Tree) -> bool:
        found = [shown(value) for value in values_at(where, tree)]
        return bool(found) and (wanted is None or found == [wanted])

    return lambda trees: bool(trees) and all(map(says, trees))


VERB = Verb(configure, run)
