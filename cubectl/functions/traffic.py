"""`cubectl function traffic` and `rollback`: which revisions of a function calls go to."""

from collections.abc import Iterable, Mapping
from typing import Any

from cubectl.functions.verdicts import await_verdict, condition_in
from cubectl.output.printers import safe
from cubectl.session import Failed, Misused, Session
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.serverless.function import LATEST, TRAFFIC, Function
from cubernetes.api.serverless.functionrevision import FunctionRevision
from cubernetes.client.wire.queries import selection_query

FUNCTIONS, REVISIONS = Function.resource, FunctionRevision.resource


def roll_back(name: str, revision: str, session: Session) -> None:
    """Send all calls to an older revision: to the one named, else to the one before."""
    tree = session.api.get(FUNCTIONS, name, session.namespace)
    status = tree.get("status") or {}
    serving = status.get("servingRevision") or status.get("latestRevision", "")
    listed = session.api.list(REVISIONS, session.namespace, selection_query("", "")).items
    own = sorted((one for one in listed if one["spec"]["function"] == name), key=_age)
    good = [one for one in own if _is_loaded(one) and one["metadata"]["name"] != serving]
    since = next((_age(one) for one in own if one["metadata"]["name"] == serving), None)
    older = [one for one in good if since is None or _age(one) < since]
    chosen = [one for one in good if one["metadata"]["name"] == revision] if revision else older
    if not chosen:
        known = ", ".join(one["metadata"]["name"] for one in good) or "none"
        which = f"revision {revision}" if revision else "older revision"
        raise Failed(f"function {name} has no {which} that could be loaded; there are: {known}")
    _put(tree, [{"revision": chosen[-1]["metadata"]["name"], "percent": 100}], session)


def set_traffic(name: str, words: str, session: Session) -> None:
    """Split calls between revisions; without words, print how they are split."""
    tree = session.api.get(FUNCTIONS, name, session.namespace)
    if words:
        _put(tree, shares_of(words), session)
        return
    status = tree.get("status") or {}
    for one in status.get("traffic") or ():
        session.say(f"{one['percent']:3}% {safe(one['revision'])}")
    told = condition_in(status, TRAFFIC)
    if told.get("status") == "False":
        session.say(safe(told.get("message", "")))


def shares_of(words: str) -> list[Tree]:
    """Return the split that is written as `latest=10,hello-1a2b3c4d=90`. Raises: Misused."""
    shares: list[Tree] = []
    for word in words.split(","):
        revision, equals, percent = word.partition("=")
        is_whole = not equals and "," not in words
        if not revision or not (is_whole or percent.isdecimal()):
            raise Misused(f"{words!r}: write REVISION=PERCENT,... such as {LATEST}=100")
        shares.append({"revision": revision, "percent": 100 if is_whole else int(percent)})
    return shares


def split_text(shares: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['revision']} {one['percent']}%" for one in shares)


def is_pinned(function: Tree) -> bool:
    """Whether new code gets no calls, or not all, because of the split that is asked for."""
    traffic = function["spec"].get("traffic") or ()
    return bool(traffic) and [one["revision"] for one in traffic] != [LATEST]


def _put(tree: Tree, shares: list[Tree], session: Session) -> None:
    name = tree["metadata"]["name"]
    changed = {**tree, "spec": {**tree["spec"], "traffic": shares}}
    found = session.api.replace(FUNCTIONS, name, changed, session.namespace, is_dry=False)
    session.say(f"function/{name}: calls are to go to {split_text(shares)}")
    _await_split(found, session)


def _await_split(function: Tree, session: Session) -> None:
    """Return when calls go where they were asked to go. Raises: Failed: why they do not."""
    name, generation = function["metadata"]["name"], function["metadata"].get("generation", 0)
    late = f"nobody has split the calls of function {name} yet"
    verdict = await_verdict(
        session, FUNCTIONS, name, TRAFFIC, lambda _: late, generation=generation
    )
    if verdict["status"] == "False":
        raise Failed(f"function {name}: {safe(verdict.get('message', ''))}")
    session.say(f"function/{name}: they do")


def _is_loaded(revision: Tree) -> bool:
    return bool(condition_in(revision.get("status") or {}, "Loaded").get("status") == "True")


def _age(one: Tree) -> tuple[str, str]:
    return one["metadata"]["creationTimestamp"], one["metadata"]["name"]
