"""Who owns which field of an object: read from a PATCH, and written into its metadata.

What others write is noted from the first apply of an object on: until then it has no
managedFields, and costs nothing. What stood before belongs to `before-first-apply`, as in
Kubernetes; but what kubectl applied by itself, by its annotation, is kubectl's at once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from apiserver.call import Call, media_of
from apiserver.strategies.metadata import to_the_second
from apiserver.wire.bodies import json_in, yaml_in
from apiserver.wire.patches import APPLY
from cubernetes.api.coding import codec
from cubernetes.api.custom.objects import CustomObject
from cubernetes.api.errors import BadRequest, Conflict, Invalid, Problem, RequestTooLarge
from cubernetes.api.meta import ManagedFields, Object, replaced
from cubernetes.api.names import ANNOTATION_BYTES_MAX
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches import serverside
from cubernetes.api.patches.fieldsets import (
    OURS,
    FieldSet,
    Form,
    NoKey,
    Shaped,
    TooManyFields,
    from_v1,
    leaves_of,
    same,
    shown,
    to_v1,
)
from cubernetes.api.patches.serverside import Conflicts, Outcome, Owner, Owners, Taken
from cubernetes.api.patches.threeway import LAST_APPLIED
from cubernetes.client.wire.logquery import flag

FIRST = "before-first-apply"
KUBECTL, KUBECTL_ITSELF = "kubectl", "kubectl-client-side-apply"
# What of an object goes through each subresource, and of its metadata; a field of a field by a dot.
PARTS: Mapping[str, tuple[str, ...]] = {
    "status": ("status",),
    "ephemeralcontainers": ("spec.ephemeralContainers",),
}
ENVELOPE = ("apiVersion", "kind", "metadata")
ADDRESS = frozenset({"name", "namespace", "uid", "resourceVersion"})
CONFLICTS_TOLD_MAX = 100
FIELD_CONFLICT = "FieldManagerConflict"
REQUIRED = "FieldValueRequired"


class Applied(NamedTuple):
    """What an applier wants: a tree of the object or, through /status, of its status."""

    tree: Tree
    me: Owner
    is_forced: bool
    form: Form
    warnings: tuple[str, ...] = ()


def _form_of(kind: type[Object]) -> Form:
    """Return how objects of a kind are taken apart."""
    return Shaped(kind.shape, is_root=True) if issubclass(kind, CustomObject) else OURS


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
    tree, duplicates = _read(call)
    metadata = tree.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    part = call.route.subresource
    # A status is written through /status alone, and through it nothing else.
    if part:
        tree = _part_of(tree, (*ENVELOPE, *PARTS[part]))
        if isinstance(metadata, dict):
            tree["metadata"] = {key: one for key, one in metadata.items() if key in ADDRESS}
    elif resource.has_status:
        tree = {key: value for key, value in tree.items() if key != "status"}
    me = Owner(manager, "Apply", part, resource.api_version)
    known, warnings = codec.known_part(call.kind, tree, call.validation)
    form = _form_of(call.kind)
    return Applied(known, me, is_forced(call), form, (*duplicates, *warnings))


def _part_of(tree: Tree, fields: Sequence[str]) -> Tree:
    """Return a tree with some of its fields alone."""
    part: Tree = {}
    for field in fields:
        above, _, below = field.partition(".")
        value = tree.get(above)
        if below:
            value = {below: value[below]} if isinstance(value, dict) and below in value else None
        if value is not None:
            part[above] = value
    return part


def _read(call: Call) -> tuple[Tree, tuple[str, ...]]:
    """Return the tree of a body, and fields that stand twice. Raises: BadRequest."""
    if call.request.body.lstrip()[:1] == b"{":
        # YAML in its flow style begins as JSON does, and says what is wrong with either.
        with suppress(BadRequest):
            return json_in(call)
    return yaml_in(call)


def change_by(
    asked: Applied, now: datetime, made_of: Callable[[Tree, Object], Object]
) -> Callable[[Object], Object]:
    """Return what an apply makes of an object as it is; made_of reads a tree as the verbs do.

    The change raises: Conflict: others own fields; BadRequest; RequestTooLarge.
    """

    def change(old: Object) -> Object:
        live = _tree_of(old)
        try:
            found = _applied(live, asked, _known_owners(old, live, asked.me))
        except Conflicts as conflicts:
            raise conflict_of(conflicts.taken) from conflicts
        tree = _with_last_applied(found.tree, asked)
        return _with_owners(made_of(tree, old), old, found.owners, now)

    return change


def initial(one: Object, asked: Applied, now: datetime) -> Object:
    """Return a new object, all of which its first applier owns.

    Raises: BadRequest, RequestTooLarge.
    """
    return _with_owners(one, one, _applied({}, asked, {}).owners, now)


def _applied(live: Tree, asked: Applied, owners: Owners) -> Outcome:
    """Raises: BadRequest, Conflicts, RequestTooLarge."""
    try:
        return serverside.applied(
            live, asked.tree, owners, asked.me, is_forced=asked.is_forced, form=asked.form
        )
    except NoKey as error:
        raise BadRequest(str(error)) from error
    except TooManyFields as error:
        raise RequestTooLarge(str(error)) from error


def noted(call: Call, old: Object, new: Object, now: datetime) -> Object:
    """Return new with what the caller owns of it, who has not applied it.

    Nobody owns anything of an object that nobody applies.

    Raises: RequestTooLarge: it has more fields than are counted.
    """
    if not old.metadata.managed_fields or is_apply(call):
        return new
    me = Owner(_manager_of(call), "Update", call.route.subresource, call.kind.resource.api_version)
    known = _owners_of(old)
    try:
        owners = serverside.written(_tree_of(old), _tree_of(new), known, me, _form_of(call.kind))
    except TooManyFields as error:
        raise RequestTooLarge(str(error)) from error
    if owners is known:
        return new
    return _with_owners(new, old, owners, now)


def conflict_of(taken: tuple[Taken, ...]) -> Conflict:
    """Return the refusal, in the words that Kubernetes' clients read."""
    listed = taken[:CONFLICTS_TOLD_MAX]
    problems = [
        Problem(shown(path), f"conflict with {_told(owner)}", FIELD_CONFLICT)
        for owner, path in listed
    ]
    by_owner: dict[Owner, list[str]] = {}
    for owner, path in listed:
        by_owner.setdefault(owner, []).append(shown(path))
    if len(taken) == 1:
        told = f"{problems[0].message}: {problems[0].field}"
    else:
        told = "\n".join(
            "\n- ".join((f"conflicts with {_told(owner)}:", *fields))
            for owner, fields in by_owner.items()
        )
    if more := len(taken) - len(listed):
        told += f"\n... and {more} more"
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


def _known_owners(old: Object, live: Tree, me: Owner) -> Owners:
    """Return who owns what before an apply.

    What stands as kubectl's annotation says is of kubectl: others may have written it since.

    Raises: RequestTooLarge.
    """
    try:
        owners, form = _owners_of(old), _form_of(type(old))
        if not owners:
            owners = {Owner(FIRST, "Update", "", me.api_version): serverside.fields_of(live, form)}
        if me.manager != KUBECTL or me.subresource:
            return owners
        claimed = _claimed_by_kubectl(old, live, form)
    except TooManyFields as error:
        raise RequestTooLarge(str(error)) from error
    its_own = {
        owner: fields
        for owner, fields in owners.items()
        if owner.manager in (FIRST, KUBECTL_ITSELF) and owner.operation == "Update"
    }
    mine = claimed & frozenset().union(*its_own.values())
    left = {
        owner: fields - mine if owner in its_own else fields for owner, fields in owners.items()
    }
    left[me] = left.get(me, frozenset()) | mine
    return {owner: fields for owner, fields in left.items() if fields}


def _claimed_by_kubectl(old: Object, live: Tree, form: Form) -> FieldSet:
    """Return what kubectl applied by itself, by its annotation, and stands as it did."""
    said = old.metadata.annotations.get(LAST_APPLIED)
    if not said:
        return frozenset()
    try:
        claimed = leaves_of(jsontext.tree_of(said.encode()), form, is_lenient=True)
    except BadRequest:
        return frozenset()
    standing = leaves_of(live, form, is_lenient=True)
    return frozenset(
        path for path, value in claimed.items() if path in standing and same(value, standing[path])
    )


def _with_last_applied(tree: Tree, asked: Applied) -> Tree:
    """Return a tree whose annotation is what kubectl applies now, where it had one.

    It goes where it would be too long: kubectl then has none to go by, as in Kubernetes.
    """
    annotations = tree.get("metadata", {}).get("annotations", {})
    if asked.me.manager != KUBECTL or asked.me.subresource or LAST_APPLIED not in annotations:
        return tree
    rest = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    said = json.dumps(_without_last_applied(asked.tree), separators=(",", ":")) + "\n"
    room = ANNOTATION_BYTES_MAX - sum(len(f"{key}{value}".encode()) for key, value in rest.items())
    if len(f"{LAST_APPLIED}{said}".encode()) <= room:
        rest[LAST_APPLIED] = said
    return {**tree, "metadata": {**tree["metadata"], "annotations": rest}}


def _without_last_applied(tree: Tree) -> Tree:
    metadata = tree.get("metadata", {})
    annotations = metadata.get("annotations", {})
    if LAST_APPLIED not in annotations:
        return tree
    rest = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    return {**tree, "metadata": {**metadata, "annotations": rest}}


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
