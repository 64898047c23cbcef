"""Who owns which field of an object: read from a PATCH, and written into its metadata.

What others write is noted from the first apply of an object on: until then it has no
managedFields, and costs nothing. What stood before belongs to `before-first-apply`, as in
Kubernetes; but what kubectl applied by itself, by its annotation, is kubectl's at once.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from apiserver.call import Call, media_of
from apiserver.strategies.metadata import to_the_second
from apiserver.wire.patches import APPLY
from cubernetes.api.coding import codec
from cubernetes.api.errors import BadRequest, Conflict, Invalid, Problem
from cubernetes.api.meta import ManagedFields, Object, replaced
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import serverside
from cubernetes.api.patches.fieldsets import FieldSet, NoKey, from_v1, shown, to_v1
from cubernetes.api.patches.serverside import Conflicts, Outcome, Owner, Owners, Taken
from cubernetes.api.patches.threeway import LAST_APPLIED
from cubernetes.client.wire.logquery import flag

FIRST = "before-first-apply"
KUBECTL = "kubectl"
FIELD_CONFLICT = "FieldManagerConflict"
REQUIRED = "FieldValueRequired"


class Applied(NamedTuple):
    """What an applier wants: a tree of the object or, through /status, of its status."""

    tree: Tree
    me: Owner
    is_forced: bool
    warnings: tuple[str, ...] = ()


def is_apply(call: Call) -> bool:
    return media_of(call.request.headers.get("content-type", "")) == APPLY


def is_forced(call: Call) -> bool:
    return flag("force", call.request.parameter("force") or "false")


def check_unforced(call: Call) -> None:
    """Refuse force of a patch that says what changes. Raises: Invalid."""
    if is_forced(call):
        raise _options_refusal("Forbidden", "may not be specified for non-apply patch", "force")


def _options_refusal(word: str, why: str, field: str) -> Invalid:
    told = f"{word}: {why}"
    reason = {"Forbidden": "FieldValueForbidden", "Required value": REQUIRED}[word]
    return Invalid(
        f'PatchOptions.meta.k8s.io "" is invalid: {field}: {told}',
        problems=[Problem(field, told, reason)],
    )


def applied_in(call: Call) -> Applied:
    """Return what a body applies.

    Raises: BadRequest, Invalid: it is no object of this kind, or nobody says who applies it.
    """
    resource = call.kind.resource
    manager = call.request.parameter("fieldManager")
    if not manager:
        raise _options_refusal("Required value", "is required for apply patch", "fieldManager")
    body = call.request.body
    is_json = body.lstrip()[:1] == b"{"
    tree = jsontext.tree_of(body) if is_json else yaml.tree_of(body)
    metadata = tree.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    part = call.route.subresource
    # A status is written through /status alone, and through it nothing else.
    if part:
        tree = {key: value for key, value in tree.items() if key not in ("spec", "data")}
    elif resource.has_status:
        tree = {key: value for key, value in tree.items() if key != "status"}
    me = Owner(manager, "Apply", part, resource.api_version)
    known, warnings = codec.known_part(call.kind, tree, call.validation)
    return Applied(known, me, is_forced(call), warnings)


def change_by(
    asked: Applied, now: datetime, made_of: Callable[[Tree, Object], Object]
) -> Callable[[Object], Object]:
    """Return what an apply makes of an object as it is; made_of reads a tree as the verbs do.

    The change raises: Conflict: others own fields; BadRequest.
    """

    def change(old: Object) -> Object:
        live = _tree_of(old)
        owners = _owners_of(old) or _first_owners(old, live, asked.me)
        try:
            found = _applied(live, asked, owners)
        except Conflicts as conflicts:
            raise conflict_of(conflicts.taken) from conflicts
        tree = _with_last_applied(found.tree, asked)
        return _with_owners(made_of(tree, old), old, found.owners, now)

    return change


def initial(one: Object, asked: Applied, now: datetime) -> Object:
    """Return a new object, all of which its first applier owns. Raises: BadRequest."""
    return _with_owners(one, one, _applied({}, asked, {}).owners, now)


def _applied(live: Tree, asked: Applied, owners: Owners) -> Outcome:
    """Raises: BadRequest, Conflicts."""
    try:
        return serverside.applied(live, asked.tree, owners, asked.me, is_forced=asked.is_forced)
    except NoKey as error:
        raise BadRequest(str(error)) from error


def noted(call: Call, old: Object, new: Object, now: datetime) -> Object:
    """Return new with what the caller owns of it, who has not applied it.

    Nobody owns anything of an object that nobody applies.
    """
    if not old.metadata.managed_fields or is_apply(call):
        return new
    me = Owner(_manager_of(call), "Update", call.route.subresource, call.kind.resource.api_version)
    owners = serverside.written(_tree_of(old), _tree_of(new), _owners_of(old), me)
    return _with_owners(new, old, owners, now)


def conflict_of(taken: tuple[Taken, ...]) -> Conflict:
    """Return the refusal, in the words that Kubernetes' clients read."""
    problems = [
        Problem(shown(path), f"conflict with {_told(owner)}", FIELD_CONFLICT)
        for owner, path in taken
    ]
    by_owner: dict[Owner, list[str]] = {}
    for owner, path in taken:
        by_owner.setdefault(owner, []).append(shown(path))
    if len(taken) == 1:
        told = f"{problems[0].message}: {problems[0].field}"
    else:
        told = "\n".join(
            "\n- ".join((f"conflicts with {_told(owner)}:", *fields))
            for owner, fields in by_owner.items()
        )
    count = f"{len(taken)} conflict{'s' if len(taken) > 1 else ''}"
    return Conflict(f"Apply failed with {count}: {told}", problems=problems)


def _told(owner: Owner) -> str:
    part = f' with subresource "{owner.subresource}"' if owner.subresource else ""
    return f'"{owner.manager}"{part} using {owner.api_version}'


def _manager_of(call: Call) -> str:
    """Return how a writer calls itself: as Kubernetes, else the first word of its User-Agent."""
    agent = call.request.headers.get("user-agent", "")
    word = agent.partition("/")[0][:128]
    return call.request.parameter("fieldManager") or (word if word.isprintable() else "")


def _tree_of(one: Object) -> Tree:
    metadata = replaced(one.metadata, managed_fields=())
    return codec.to_tree(replaced(one, metadata=metadata))


def _owners_of(one: Object) -> Owners:
    return {
        Owner(entry.manager, entry.operation, entry.subresource, entry.api_version): from_v1(
            entry.fields_v1
        )
        for entry in one.metadata.managed_fields
    }


def _first_owners(old: Object, live: Tree, me: Owner) -> Owners:
    """Return who owns what before anybody has applied an object here."""
    version = old.resource.api_version
    every = serverside.fields_of(live)
    mine: FieldSet = frozenset()
    said = old.metadata.annotations.get(LAST_APPLIED)
    if said and me.manager == KUBECTL and not me.subresource:
        try:
            mine = serverside.fields_of(jsontext.tree_of(said.encode())) & every
        except BadRequest:
            mine = frozenset()
    owners = {me: mine, Owner(FIRST, "Update", "", version): every - mine}
    return {owner: fields for owner, fields in owners.items() if fields}


def _with_last_applied(tree: Tree, asked: Applied) -> Tree:
    """Return a tree whose annotation is what kubectl applies now, where it had one."""
    annotations = tree.get("metadata", {}).get("annotations", {})
    if asked.me.manager != KUBECTL or asked.me.subresource or LAST_APPLIED not in annotations:
        return tree
    said = json.dumps(asked.tree, separators=(",", ":")) + "\n"
    annotations = {**annotations, LAST_APPLIED: said}
    return {**tree, "metadata": {**tree["metadata"], "annotations": annotations}}


def _with_owners(one: Object, old: Object, owners: Owners, now: datetime) -> Object:
    """Return an object that says who owns what; a time changes with what is owned."""
    known = {
        (was.manager, was.operation, was.subresource): was for was in old.metadata.managed_fields
    }
    entries = []
    for owner, fields in owners.items():
        was = known.get(owner[:3])
        content = to_v1(fields)
        is_as_it_was = was is not None and was.fields_v1 == content
        time = was.time if was is not None and is_as_it_was else to_the_second(now)
        entries.append(
            ManagedFields(
                manager=owner.manager,
                operation=owner.operation,
                api_version=owner.api_version,
                time=time,
                fields_v1=content,
                subresource=owner.subresource,
            )
        )
    return replaced(one, metadata=replaced(one.metadata, managed_fields=tuple(entries)))
