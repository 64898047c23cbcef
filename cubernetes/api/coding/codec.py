"""Objects to bytes and back: trusted bytes quickly, a stranger's bytes with every problem named.

`decode` reads what we wrote ourselves. `read` reads what a client sent: checked field by field
against the kind, all problems at once.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

import msgspec

from cubernetes.api.coding import schema
from cubernetes.api.coding.refusals import PROBLEMS_MAX, invalid
from cubernetes.api.custom.objects import HEAD, CustomObject, Head
from cubernetes.api.errors import BadRequest, Problem
from cubernetes.api.meta import Model, Object, ObjectMeta
from cubernetes.api.microtime import MicroTime
from cubernetes.api.notation import jsontext
from cubernetes.api.notation.jsontext import Tree, tree_of, without_nulls
from cubernetes.api.quantities import Quantity

# As JSON writes it.
NUL = b"\\u0000"
# Amounts that are remembered by their text: the pods of a cluster have a few hundred.
QUANTITIES_MAX = 4096

# Fields of metadata that Kubernetes takes and does not let a client set.
UNSERVED = frozenset({"managedFields", "selfLink"})

type Validation = Literal["Strict", "Warn", "Ignore"]


def _to_plain(value: object) -> object:
    if isinstance(value, Quantity):
        return value.text
    if isinstance(value, MicroTime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    raise NotImplementedError(f"{type(value).__name__} has no form on the wire")


def _from_plain(kind: type, value: object) -> object:
    if kind is Quantity:
        return _quantity(value) if isinstance(value, str) else Quantity(cast(float, value))
    raise NotImplementedError(f"{kind.__name__} has no form on the wire")


@lru_cache(maxsize=QUANTITIES_MAX)
def _quantity(text: str) -> Quantity:
    """Return a quantity, which is made once for all objects that write it so."""
    return Quantity(text)


_encoder = msgspec.json.Encoder(enc_hook=_to_plain, order=None)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def encode(model: Model) -> bytes:
    """Return the JSON of a model; fields that stand at their default are left out."""
    return _encoder.encode(model.tree() if isinstance(model, CustomObject) else model)


def decode[M: Model](kind: type[M], content: bytes) -> M:
    """Read bytes that encode (or a server we trust) wrote.

    What a later version wrote may have fields that this one does not know: they are left out, so
    that a program and its server, or a server and its store, need not be of one version.

    Raises:
        msgspec.ValidationError: the content is not of this kind.
    """
    # A list of a kind is no class.
    if isinstance(kind, type) and issubclass(kind, CustomObject):
        return cast(M, _custom_of(kind, msgspec.json.decode(content)))
    try:
        return cast(M, _decoder_of(kind).decode(content))
    except msgspec.ValidationError:
        known = schema.without_unknown(schema.type_of(kind), msgspec.json.decode(content))
        return msgspec.convert(known, kind, dec_hook=_from_plain)


def _decoder_of(kind: type[Model]) -> msgspec.json.Decoder[Any]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_from_plain)
    return decoder


def to_tree(model: Model) -> Tree:
    """Return a model as plain dicts, lists, texts and numbers: what encode writes."""
    return cast(Tree, msgspec.json.decode(encode(model)))


def plainly_read[M: Model](kind: type[M], body: bytes) -> M | None:
    """Return the model of a JSON body with nothing in it to be told of; None where there may be.

    It is what `from_tree` or `model_from_tree` makes of the body's tree, at a third of the price:
    nothing is absent by a null, no field is unknown, unserved or stands twice, and no number is out
    of range. Whatever seems otherwise is for them, who name each problem by its path.
    """
    is_apart = issubclass(kind, CustomObject) or b"null" in body or NUL in body
    if is_apart or not jsontext.is_modest(body):
        return None
    try:
        model = cast(M, _decoder_of(kind).decode(body))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if isinstance(model, Object) and not _is_as_served(model):
        return None
    # Our own programs write as we do; of others the tree is written again.
    is_plain = encode(model) == body or jsontext.plain_tree_of(body) is not None
    return model if is_plain else None


def _is_as_served(one: Object) -> bool:
    """Whether an object says the kind that it is read as, and has nothing of UNSERVED."""
    said = (one.api_version, one.kind)
    is_its_kind = said == (one.resource.api_version, one.resource.kind)
    return is_its_kind and not one.metadata.managed_fields


class Reading[M: Model](NamedTuple):
    """What was read, and what was left out of it (only where validation is not Strict)."""

    model: M
    warnings: tuple[str, ...] = ()


def read[O: Object](kind: type[O], body: bytes, validation: Validation = "Strict") -> Reading[O]:
    """Read an object that a client sent.

    Raises:
        BadRequest: not JSON, not an object of this kind, or (Strict) unknown or duplicate fields.
        Invalid: fields of the wrong type or outside their range.
    """
    return from_tree(kind, tree_of(body, duplicates_refused=validation == "Strict"), validation)


def from_tree[O: Object](
    kind: type[O],
    tree: Tree,
    validation: Validation = "Strict",
    *,
    is_status_heard: bool = True,
) -> Reading[O]:
    """Make an object of a JSON tree that a client sent; raises as read does.

    is_status_heard false is for writes beside the status: its unknown fields are nobody's fault,
    for exported objects hold what other servers found.
    """
    check_kind(kind, tree)
    if issubclass(kind, CustomObject):
        tree, warnings = _custom_part(kind, tree, validation, is_status_heard=is_status_heard)
        return cast(Reading[O], Reading(_custom_of(kind, tree), warnings))
    tree = _without_unserved(without_nulls(tree))
    model = _converted(kind, tree)
    if model is not None:
        return Reading(model)
    if older := tuple(kind.misread(tree)):
        raise invalid(kind.resource.qualified_kind, _name_in(tree), older, tree)
    every, wrong = schema.check(kind, tree)
    unknown = [field for field in every if is_status_heard or not field.startswith("status.")]
    if validation == "Strict":
        _refuse_unknown(kind, unknown)
    if wrong:
        raise invalid(kind.resource.qualified_kind, _name_in(tree), wrong, tree)
    if every:
        tree = schema.without_unknown(schema.type_of(kind), tree)
    model = msgspec.convert(tree, kind, dec_hook=_from_plain)
    return Reading(model, _warnings(unknown, validation))


def served[O: Object](kind: type[O], tree: Tree) -> O:
    """Make an object of a server's answer: fields that only the server knows are left out.

    Raises as read does.
    """
    return from_tree(kind, tree, "Ignore").model


def known_part(
    kind: type[Object], tree: Tree, validation: Validation
) -> tuple[Tree, tuple[str, ...]]:
    """Return a part of an object without what its kind does not know, and what is told of that.

    Raises: BadRequest, Invalid, as from_tree does; but fields that are required may be absent.
    """
    check_kind(kind, tree)
    if issubclass(kind, CustomObject):
        return _custom_part(kind, tree, validation)
    tree = _without_unserved(without_nulls(tree))
    unknown, wrong = schema.check(kind, tree)
    if validation == "Strict":
        _refuse_unknown(kind, unknown)
    if wrong := tuple(one for one in wrong if one.reason != "FieldValueRequired"):
        raise invalid(kind.resource.qualified_kind, _name_in(tree), wrong, tree)
    known = schema.without_unknown(schema.type_of(kind), tree) if unknown else tree
    return known, _warnings(unknown, validation)


def _custom_part(
    kind: type[CustomObject], tree: Tree, validation: Validation, *, is_status_heard: bool = True
) -> tuple[Tree, tuple[str, ...]]:
    """Return the tree of a custom object without what its schema does not know.

    What is wrong with its content is told by the object itself, as of every kind.

    Raises: BadRequest, Invalid: of its metadata.
    """
    head = {name: tree[name] for name in HEAD if name in tree}
    head = _without_unserved(without_nulls(head))
    unknown, wrong = schema.check(Head, head)
    content, pruned = kind.pruned({name: one for name, one in tree.items() if name not in HEAD})
    heard = [one for one in pruned if is_status_heard or not one.startswith("status.")]
    every = (*unknown, *heard)[:PROBLEMS_MAX]
    if validation == "Strict":
        _refuse_unknown(kind, every)
    if wrong:
        raise invalid(kind.resource.qualified_kind, _name_in(tree), wrong, head)
    known = schema.without_unknown(schema.type_of(Head), head) if unknown else head
    return {**known, **content}, _warnings(every, validation)


def _custom_of[C: CustomObject](kind: type[C], tree: Tree) -> C:
    metadata = msgspec.convert(tree.get("metadata", {}), ObjectMeta, dec_hook=_from_plain)
    return kind.made(metadata, {name: one for name, one in tree.items() if name not in HEAD})


def _refuse_unknown(kind: type[Object], unknown: Sequence[str]) -> None:
    if unknown:
        raise BadRequest(
            f"{kind.resource.kind} in version {kind.resource.api_version!r} cannot be handled: "
            + ", ".join(f'unknown field "{field}"' for field in unknown),
            problems=[Problem(field, "unknown field") for field in unknown],
        )


def _warnings(unknown: Sequence[str], validation: Validation) -> tuple[str, ...]:
    return tuple(f'unknown field "{path}"' for path in unknown if validation == "Warn")


def _without_unserved(tree: Tree) -> Tree:
    """Return a tree without metadata that Kubernetes knows and nothing here has."""
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict) or UNSERVED.isdisjoint(metadata):
        return tree
    kept = {key: value for key, value in metadata.items() if key not in UNSERVED}
    return {**tree, "metadata": kept}


def _name_in(tree: Tree) -> str:
    metadata = tree.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _converted[M: Model](kind: type[M], tree: Tree) -> M | None:
    """Return the model of a tree that has nothing wrong with it; None where something may be.

    The check field by field knows every problem by its path, and takes ten times as long.
    """
    try:
        model = msgspec.convert(tree, kind, dec_hook=_from_plain)
    except msgspec.ValidationError:
        return None
    # The one thing that msgspec does not mind. A text that only looks so is checked in full.
    return None if NUL in encode(model) else model


def read_model[M: Model](kind: type[M], body: bytes, name: str) -> M:
    """Read a body that is not an object of the registry (DeleteOptions, Binding); strict.

    Raises: BadRequest.
    """
    return model_from_tree(kind, tree_of(body), name)


def model_from_tree[M: Model](kind: type[M], tree: Tree, name: str) -> M:
    """Make such a body's model of a tree; raises as read_model does."""
    tree = without_nulls(tree)
    model = _converted(kind, tree)
    if model is not None:
        return model
    unknown, wrong = schema.check(kind, tree)
    problems = [Problem(field, "unknown field") for field in unknown] + list(wrong)
    if problems:
        listed = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        raise BadRequest(f"{name}: {listed}", problems=problems)
    return msgspec.convert(tree, kind, dec_hook=_from_plain)


def check_kind(kind: type[Object], tree: Mapping[str, Any]) -> None:
    """Refuse what says that it is of another kind. Raises: BadRequest."""
    resource = kind.resource
    for field, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if tree.get(field, wanted) != wanted:
            raise BadRequest(f"{field}: expected {wanted!r}, got {str(tree[field])[:100]!r}")
