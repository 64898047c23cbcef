"""`cubectl delete`: by name, uid, file or label; waits until what is deleted is gone."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cubectl.objects.manifests import manifests_in
from cubectl.objects.targets import targets_in
from cubectl.objects.waiting import TooLate, are_gone, named, wait_until
from cubectl.output.printers import name_of, safe
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb, add_files, add_selection, selection_of, span_s
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.client.wire.queries import Query

CASCADES: Mapping[str, str] = {
    "background": "Background",
    "foreground": "Foreground",
    "orphan": "Orphan",
}


class Doomed(NamedTuple):
    """An object to be deleted; an empty uid is whichever has the name."""

    kind: Resource
    name: str
    namespace: str
    uid: str = ""


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND [NAME ...] | KIND/NAME ...")
    add_files(parser, is_required=False)
    add_selection(parser)
    parser.add_argument("--all", action="store_true", help="all of the kind, in the namespace")
    parser.add_argument("--uid", help="the one of the kind with this uid")
    parser.add_argument("--grace-period", type=int, metavar="SECONDS", help="time to stop")
    parser.add_argument("--force", action="store_true", help="do not wait for its node to stop it")
    parser.add_argument("--cascade", choices=sorted(CASCADES), default="background")
    parser.add_argument("--ignore-not-found", action="store_true")
    parser.add_argument("--wait", choices=("true", "false"), default="true", help="until gone")
    parser.add_argument("--no-wait", dest="wait", action="store_const", const="false")
    parser.add_argument("--timeout", default="5m", help="for waiting (default 5m)")


def run(options: Namespace, session: Session) -> None:
    deadline_s = span_s(options.timeout)
    asked: list[tuple[Doomed, str]] = []
    for doomed in _doomed(options, session):
        title = f'{name_of(doomed.kind, "")[:-1]} "{safe(doomed.name)}"'
        try:
            answer = session.api.delete(
                doomed.kind, doomed.name, doomed.namespace, _options(options, doomed)
            )
        except NotFound as error:
            if not options.ignore_not_found:
                session.fail(safe(error.message))
            continue
        except ApiError as error:
            session.fail(safe(f"{title}: {error.message}"))
            continue
        session.say(f"{title} {'force deleted' if options.force else 'deleted'}")
        if answer.get("kind") != "Status":
            asked.append((doomed, _uid(answer)))
    if options.wait == "true":
        for doomed, uid in asked:
            _wait(session, doomed, uid, deadline_s)


def _doomed(options: Namespace, session: Session) -> Iterator[Doomed]:
    if options.uid is not None and not options.uid:
        raise Misused("--uid: may not be empty")
    if options.filename:
        if options.words:
            raise Misused("delete by file or by kind, not both")
        chosen = bool(session.choice.namespace)
        found = manifests_in(
            options.filename, session.kinds, session.namespace, is_namespace_chosen=chosen
        )
        yield from (Doomed(one.kind, one.name, one.namespace) for one in found)
        return
    targets = targets_in(options.words, session.kinds)
    query = selection_of(options)
    for target in targets:
        place = session.namespace if target.kind.namespaced else ""
        if target.name:
            yield Doomed(target.kind, target.name, place, options.uid or "")
        elif options.uid:
            yield _by_uid(session, target.kind, options.uid)
        elif query or options.all:
            yield from _selected(session, target.kind, place, query)
        else:
            raise Misused("name what to delete, or use -l, -f, --uid or --all")


def _by_uid(session: Session, kind: Resource, uid: str) -> Doomed:
    for tree in session.api.list(kind, "").items:
        if _uid(tree) == uid:
            metadata = tree["metadata"]
            return Doomed(kind, metadata["name"], metadata.get("namespace", ""), uid)
    raise Failed(f"no {kind.singular} has the uid {safe(uid[:80])}")


def _selected(session: Session, kind: Resource, place: str, query: Query) -> Iterator[Doomed]:
    items = session.api.list(kind, place, query).items
    where = f" in namespace {place}" if place else ""
    session.tell(f"deleting {len(items)} {kind.plural}{where}")
    for tree in items:
        metadata = tree["metadata"]
        yield Doomed(kind, metadata["name"], metadata.get("namespace", ""), _uid(tree))


def _options(options: Namespace, doomed: Doomed) -> Tree:
    """Return the fields of a DeleteOptions that are not left out."""
    if options.grace_period is not None and options.grace_period < 0:
        raise Misused("--grace-period: must be 0 or more")
    grace_s = 0 if options.force else options.grace_period
    return {
        "propagationPolicy": CASCADES[options.cascade],
        **({"gracePeriodSeconds": grace_s} if grace_s is not None else {}),
        **({"preconditions": {"uid": doomed.uid}} if doomed.uid else {}),
    }


def _uid(tree: Tree) -> str:
    return str((tree.get("metadata") or {}).get("uid", ""))


def _wait(session: Session, doomed: Doomed, uid: str, deadline_s: float) -> None:
    title = name_of(doomed.kind, doomed.name)
    is_told = False

    def judge(trees: Sequence[Tree]) -> bool:
        nonlocal is_told
        if are_gone([uid])(trees):
            return True
        if not is_told and session.err.isatty():
            session.tell(f"waiting for {title} to end")
            is_told = True
        return False

    try:
        wait_until(session, doomed.kind, doomed.namespace, named(doomed.name), judge, deadline_s)
    except TooLate:
        session.fail(f"{title} is still there after {deadline_s:.0f} s")


VERB = Verb(configure, run)
