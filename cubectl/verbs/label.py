"""`cubectl label` and `cubectl annotate`: set or remove what stands in an object's metadata."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial

from cubectl.objects.targets import Target, targets_in
from cubectl.output.printers import name_of, safe
from cubectl.session import Misused, Session
from cubectl.verb import Verb, add_selection, selection_of
from cubernetes.api.errors import ApiError


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="+", metavar="KIND NAME ... | KIND/NAME ... KEY=VALUE ... KEY- ..."
    )
    parser.add_argument("--overwrite", action="store_true", help="also change what is set")
    add_selection(parser)


def run_on(field: str, done: str, options: Namespace, session: Session) -> None:
    """Change a map of metadata; done is the word for it."""
    words, changes = _split(options.words)
    for target in _targets(words, options, session):
        place = session.namespace if target.kind.namespaced else ""
        title = name_of(target.kind, target.name)
        try:
            metadata = session.api.get(target.kind, target.name, place)["metadata"]
            taken = _taken(changes, metadata.get(field) or {})
            if taken and not options.overwrite:
                session.fail(f"{title}: {safe(taken[0])} is set already: use --overwrite")
                continue
            change = {"metadata": {field: changes}}
            session.api.patch(target.kind, target.name, place, change)
        except ApiError as error:
            session.fail(safe(error.message))
        else:
            session.say(f"{title} {done}")


def _split(words: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """Return the words that name objects, and what is to be set (or removed: None)."""
    is_change = [("=" in word or word.endswith("-")) for word in words]
    named = [word for word, change in zip(words, is_change, strict=True) if not change]
    changes: dict[str, str | None] = {}
    for word in words[len(named) :]:
        key, sign, text = word.partition("=")
        key, value = (key, text) if sign else (word.removesuffix("-"), None)
        if key in changes and changes[key] != value:
            raise Misused(_contradiction(key, changes[key], value))
        changes[key] = value
    if not changes or not all(is_change[len(named) :]):
        raise Misused("name objects first, then KEY=VALUE to set and KEY- to remove")
    return named, changes


def _contradiction(key: str, one: str | None, other: str | None) -> str:
    if one is None or other is None:
        return f"{key!r} cannot be set and removed in one command"
    return f"{key!r} cannot be set to {one!r} and to {other!r} in one command"


def _taken(changes: dict[str, str | None], found: dict[str, str]) -> list[str]:
    return [
        key
        for key, value in sorted(changes.items())
        if value is not None and found.get(key, value) != value
    ]


def _targets(words: Sequence[str], options: Namespace, session: Session) -> list[Target]:
    targets = targets_in(words, session.kinds)
    query = selection_of(options)
    if all(target.name for target in targets):
        return targets
    if not query:
        raise Misused("name which objects, or use -l")
    return [
        Target(target.kind, tree["metadata"]["name"])
        for target in targets
        for tree in session.api.list(
            target.kind, session.namespace if target.kind.namespaced else "", query
        ).items
    ]


def _run(field: str, done: str) -> Callable[[Namespace, Session], None]:
    return partial(run_on, field, done)


LABEL = Verb(configure, _run("labels", "labeled"))
ANNOTATE = Verb(configure, _run("annotations", "annotated"))
