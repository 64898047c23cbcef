"""`cubectl set`: other images, variables and resources of containers; a service's selector."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence

from cubectl.objects.containers import (
    ALL,
    containers_in,
    with_images,
    with_resources,
    with_variables,
)
from cubectl.objects.made import pairs_of
from cubectl.objects.targets import target_in, targets_in
from cubectl.output.printers import name_of, safe
from cubectl.output.variables import SOURCES, lines_of, variables_from
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb
from cubectl.verbs.rollout import change_object
from cubernetes.api.errors import ApiError
from cubernetes.api.notation.jsontext import Tree

# What is said once it is done.
DONE = {
    "image": "image updated",
    "env": "env updated",
    "resources": "resource requirements updated",
    "selector": "selector updated",
}
FORMS = {
    "selector": "KEY=VALUE[,KEY=VALUE]",
    "image": "CONTAINER=IMAGE, or *=IMAGE for all",
    "env": "KEY=VALUE, KEY- to remove it, or --from=configmap/NAME",
}


def configure(parser: ArgumentParser) -> None:
    parser.usage = (
        "cubectl set image TARGET ... CONTAINER=IMAGE ... | set env TARGET ... KEY=VALUE ... KEY- "
        "... | set env TARGET ... --from=configmap/NAME | set env TARGET ... --list "
        "| set selector svc/NAME KEY=VALUE "
        "| set resources TARGET ... --limits=cpu=1 --requests=memory=64Mi"
    )
    parser.add_argument("field", choices=tuple(DONE))
    parser.add_argument("words", nargs="+", metavar="KIND NAME | KIND/NAME ... CHANGE ...")
    parser.add_argument("-c", "--containers", default=ALL, metavar="NAME",
                        help="env, resources: of this container alone")  # fmt: skip
    parser.add_argument("--from", dest="source", default="", metavar="KIND/NAME",
                        help="env: a variable for each key of a ConfigMap or Secret")  # fmt: skip
    parser.add_argument("--keys", default="", help="env: of --from, only these, such as a,b")
    parser.add_argument("--prefix", default="", help="env: before the names of --from")
    parser.add_argument("--list", action="store_true", help="env: tell them, and change nothing")
    parser.add_argument("--limits", default="", help="resources: such as cpu=1,memory=64Mi")
    parser.add_argument("--requests", default="", help="resources: such as cpu=1,memory=64Mi")


def run(options: Namespace, session: Session) -> None:
    named = [word for word in options.words if not _is_change(word, options.field)]
    _check(options)
    if options.list:
        _list(named, options, session)
        return
    changed = _change(options, options.words[len(named) :], _sourced(options, session))
    for target in targets_in(named, session.kinds):
        if not target.name:
            raise Misused(f"name which of the {target.kind.plural}")
        try:
            is_changed = change_object(target, session.namespace, session, changed)
        except ApiError as error:
            session.fail(safe(error.message))
        except Failed as error:
            session.fail(safe(str(error)))
        else:
            # As kubectl, nothing is said of what is so already.
            if is_changed:
                session.say(f"{name_of(target.kind, target.name)} {DONE[options.field]}")


def _check(options: Namespace) -> None:
    """Raises: Misused."""
    given = (("--from", options.source), ("--list", options.list))
    for flag, is_given in given:
        if is_given and options.field != "env":
            raise Misused(f"{flag} is of set env")
    for flag, is_given in (("--keys", options.keys), ("--prefix", options.prefix)):
        if is_given and not options.source:
            raise Misused(f"{flag} is about --from=configmap/NAME or secret/NAME")


def _list(named: Sequence[str], options: Namespace, session: Session) -> None:
    """Tell the variables of containers."""
    if len(named) < len(options.words) or options.source:
        raise Misused("--list changes nothing: no KEY=VALUE, and no --from")
    for target in targets_in(named, session.kinds):
        tree = session.api.get(target.kind, target.name, session.namespace)
        found = [one for one in containers_in(tree) if options.containers in (ALL, one["name"])]
        for line in lines_of(name_of(target.kind, target.name), found):
            session.say(line)


def _sourced(options: Namespace, session: Session) -> Mapping[str, Tree]:
    """Return the variables that --from stands for. Raises: Misused, Failed."""
    if not options.source:
        return {}
    target = target_in(options.source, session.kinds)
    field = SOURCES.get(target.kind.plural, "")
    if not field or target.kind.group or not target.name:
        raise Misused(f"--from: {options.source[:80]!r} must be configmap/NAME or secret/NAME")
    tree = session.api.get(target.kind, target.name, session.namespace)
    keys = {key for key in options.keys.split(",") if key}
    found = variables_from(tree, field, keys, options.prefix)
    told = {source[field]["key"] for source in found.values()}
    if not found or keys - told:
        missing = ", ".join(sorted(keys - told)) or "keys"
        raise Failed(f"{options.source} has no {missing}")
    return found


def _is_change(word: str, field: str) -> bool:
    return "=" in word or (field == "env" and word.endswith("-"))


def _change(
    options: Namespace, words: Sequence[str], sourced: Mapping[str, Tree]
) -> Callable[[Tree], Tree]:
    """Return what is done to an object. Raises: Misused."""
    field, name = options.field, options.containers
    if field == "resources":
        limits, requests = _amounts(options.limits), _amounts(options.requests)
        if words or not (limits or requests):
            raise Misused("you must specify an update to requests or limits: --limits, --requests")
        return lambda tree: with_resources(tree, name, limits, requests)
    if not words and not sourced:
        raise Misused(f"at least one update is required: {FORMS[field]}")
    if field == "selector":
        chosen = pairs_of(",".join(words), "set selector")
        return lambda tree: _with_selector(tree, chosen)
    pairs = dict(_pair(word, field) for word in words)
    if field == "env":
        return lambda tree: with_variables(tree, name, {**sourced, **pairs})
    images = {key: text for key, text in pairs.items() if text}
    return lambda tree: with_images(tree, images)


def _with_selector(tree: Tree, chosen: dict[str, str]) -> Tree:
    """Return a service that leads to other pods. Raises: Failed: it is no service."""
    if tree.get("kind") != "Service":
        raise Failed("selector for anything but a service cannot be changed")
    return {**tree, "spec": {**tree["spec"], "selector": chosen}}


def _pair(word: str, field: str) -> tuple[str, str | None]:
    key, sign, text = word.partition("=")
    if field == "env" and not sign and word.endswith("-"):
        key, text = word.removesuffix("-"), ""
    if not key or not (sign or field == "env") or (field == "image" and not text):
        raise Misused(f"{word!r}: write {FORMS[field]}")
    return key, text if sign else None


def _amounts(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(key and amount for key, _, amount in pairs):
        raise Misused(f"{text[:80]!r}: write amounts as cpu=500m,memory=64Mi")
    return {key: amount for key, _, amount in pairs}


VERB = Verb(configure, run)
