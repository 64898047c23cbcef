"""Work grows with what is given, never with its square: counted in calls and jumps, not in time."""

import gc
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from apiserver.call import media_of
from apiserver.strategies import metadata as stamps
from apiserver.strategies.registry import object_refusal, strategy_of
from apiserver.wire import protobuf
from apiserver.wire.forms import accepted
from cubernetes.api import selectors
from cubernetes.api.coding import codec, schema
from cubernetes.api.coding.refusals import invalid
from cubernetes.api.errors import ApiError
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from cubernetes.api.notation import jsontext, yaml
from cubernetes.api.patches import jsonpatch, patch, strategic, threeway
from cubernetes.api.registry import KINDS
from cubernetes.host.protowire import varint
from cubernetes.host.web.messages import Identity

# What four times as much may cost at most: four times, something for a sort, and nothing more.
RATIO_MAX = 5.0
LEAST, MOST = 100, 400
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NODE = Identity("system:node:n1", ("system:nodes",))

type Tree = dict[str, Any]
type Work = Callable[[], object]


class Counted(str):
    """A text that counts how often it is compared: what a test of membership in a list costs."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def work_of(work: Work) -> int:
    """Return how much is done: calls, turns of loops, and comparisons of counted texts.

    A refusal is an end like any other.
    """
    monitoring, tool = sys.monitoring, sys.monitoring.PROFILER_ID
    counted, mine = [0], threading.get_ident()

    def count(*_: object) -> None:
        # All threads are watched: an earlier test may have left one that still ends.
        counted[0] += threading.get_ident() == mine

    events = monitoring.events
    watched = (events.PY_START, events.PY_RESUME, events.CALL, events.JUMP)
    monitoring.use_tool_id(tool, "work")
    Counted.compared = 0
    # Whatever a collection calls is none of this work.
    gc.disable()
    try:
        for event in watched:
            monitoring.register_callback(tool, event, count)
        monitoring.set_events(tool, sum(watched))
        try:
            work()
        except ApiError:
            pass
        finally:
            monitoring.set_events(tool, 0)
    finally:
        gc.enable()
        monitoring.free_tool_id(tool)
    return counted[0] + Counted.compared


def check_growth(work_for: Callable[[int], Work]) -> None:
    least, most = (work_of(work_for(size)) for size in (LEAST, MOST))
    # Less than one step for each entry is hardly work.
    assert most <= RATIO_MAX * max(least, LEAST), (least, most)


def test_the_count_sees_a_square() -> None:
    """The measure itself: loops within loops, and membership in lists, are seen."""

    def loops(size: int) -> Work:
        return lambda: [one for one in range(size) for other in range(size) if one == other]

    def lists(size: int) -> Work:
        texts = [Counted(f"a{number}") for number in range(size)]
        others = [f"b{number}" for number in range(size)]
        return lambda: [one for one in others if one in texts]

    for square in (loops, lists):
        with pytest.raises(AssertionError):
            check_growth(square)


def test_the_count_overlooks_what_another_thread_does() -> None:
    begin, end = threading.Event(), threading.Event()

    def busy() -> None:
        assert begin.wait(60)
        for _ in range(100 * LEAST):
            len("")
        end.set()

    def work() -> None:
        begin.set()
        assert end.wait(60)

    other = threading.Thread(target=busy)
    other.start()
    assert work_of(work) < LEAST
    other.join()


def names(size: int, begin: str = "n") -> list[str]:
    return [f"{begin}{number}" for number in range(size)]


def json_of(tree: object) -> bytes:
    return json.dumps(tree).encode()


def wire(number: int, content: bytes) -> bytes:
    """Return a protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def protobuf_of(kind: str, metadata: bytes) -> bytes:
    about = wire(1, b"v1") + wire(2, kind.encode())
    return protobuf.MAGIC + wire(1, about) + wire(2, wire(1, metadata))


def pairs(size: int, number: int) -> bytes:
    entries = (wire(1, name.encode()) + wire(2, b"v") for name in names(size))
    return b"".join(wire(number, entry) for entry in entries)


def unknown_fields(size: int) -> bytes:
    return b"".join(wire(number + 100, b"f") for number in range(size))


def additions(size: int) -> list[Tree]:
    return [{"op": "add", "path": f"/a/{name}", "value": 1} for name in names(size)]


def copies(size: int) -> list[Tree]:
    return [{"op": "copy", "from": "/a", "path": f"/{name}"} for name in names(size)]


def patch_of(target: Callable[[], Tree]) -> Callable[[object], object]:
    return lambda steps: jsonpatch.patched(target(), jsonpatch.steps_of(steps))


def fields_of(text: str) -> object:
    return selectors.parse_fields(text, dict.fromkeys(names(MOST), str))


# What is given for a size, and what reads it.
DECODERS: Mapping[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "json list": (lambda size: json_of({"a": names(size)}), jsontext.tree_of),
    "json fields": (lambda size: json_of(dict.fromkeys(names(size), 1)), jsontext.tree_of),
    "json duplicates": (lambda size: b"{%b}" % b",".join([b'"a":1'] * size), jsontext.tree_of),
    "json brackets": (lambda size: b'{"a":' + b"[" * size, jsontext.tree_of),
    "json nested": (lambda size: b'{"a":' + b"[" * size + b"]" * size + b"}", jsontext.tree_of),
    "json surrogates": (lambda size: b'{"a":"%b"}' % (b"\\ud800" * size), jsontext.tree_of),
    "yaml list": (lambda size: "a:\n" + "".join(f"- {x}\n" for x in names(size)), yaml.documents),
    "yaml fields": (lambda size: "".join(f"{x}: 1\n" for x in names(size)), yaml.documents),
    "yaml brackets": (lambda size: "a: " + "[" * size, yaml.documents),
    "yaml braces": (lambda size: "a: " + "{a: " * size, yaml.documents),
    "yaml documents": (lambda size: "---\na: 1\n" * size, yaml.documents),
    "yaml text": (lambda size: "a: |\n" + "  b\n" * size, yaml.documents),
    "protobuf labels": (lambda size: protobuf_of("Node", pairs(size, 11)), protobuf.tree_of),
    "protobuf finalizers": (
        lambda size: protobuf_of("Node", wire(14, b"f") * size),
        protobuf.tree_of,
    ),
    "protobuf owners": (
        lambda size: protobuf_of("Node", wire(13, wire(3, b"f")) * size),
        protobuf.tree_of,
    ),
    "protobuf unknown": (lambda size: protobuf_of("Node", unknown_fields(size)), protobuf.tree_of),
    "selector terms": (lambda size: ",".join(names(size)), selectors.parse),
    "selector values": (lambda size: f"a in ({','.join(names(size))})", selectors.parse),
    "selector brackets": (lambda size: "(" * size, selectors.parse),
    "selector blanks": (lambda size: "a" + " " * size + "in (b", selectors.parse),
    "field terms": (lambda size: ",".join(f"{name}=1" for name in names(size)), fields_of),
    "selector map": (lambda size: dict.fromkeys(names(size), "v"), selectors.equal_to),
    "json patch": (additions, patch_of(lambda: {"a": {}})),
    "json patch to the front": (
        lambda size: [{"op": "add", "path": "/a/0", "value": 1}] * size,
        patch_of(lambda: {"a": []}),
    ),
    "json patch copies": (copies, patch_of(lambda: {"a": 1})),
    "json patch tests": (
        lambda size: [{"op": "test", "path": "/a", "value": names(size)}],
        patch_of(lambda: {"a": names(LEAST)}),
    ),
    "merge patch": (
        lambda size: dict.fromkeys(names(size), 1),
        lambda tree: patch.merged(dict(tree), {"a": tree}),
    ),
    "numbers": (lambda size: b'{"a":[%b]}' % b",".join([b"9" * 19] * size), jsontext.tree_of),
    "one number": (lambda size: b'{"a":%b}' % (b"9" * size), jsontext.tree_of),
    "media types": (lambda size: ",".join(["text/html;q=1"] * size), accepted),
    "parameters of a media type": (lambda size: "text/html" + ";a=b" * size, media_of),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name: str) -> None:
    given, read = DECODERS[name]

    def work_for(size: int) -> Work:
        body = given(size)
        return lambda: read(body)

    check_growth(work_for)


def counted(size: int, begin: str = "n") -> list[str]:
    return [Counted(name) for name in names(size, begin)]


def entries(size: int, begin: str = "n", **more: object) -> list[Tree]:
    return [{"name": name, **more} for name in counted(size, begin)]


def of_containers(listed: object, **more: object) -> Tree:
    return {"spec": {"containers": listed, **more}}


STRATEGIC: Mapping[str, Callable[[int], tuple[Tree, Tree]]] = {
    "keyed list": lambda size: (of_containers(entries(size)), of_containers(entries(size))),
    "other keys": lambda size: (of_containers(entries(size)), of_containers(entries(size, "m"))),
    "one key": lambda size: (of_containers(entries(1)), of_containers(entries(1) * size)),
    "deletes": lambda size: (
        of_containers(entries(size)),
        of_containers(entries(size, **{"$patch": "delete"})),
    ),
    "retained": lambda size: (
        dict.fromkeys(counted(size), 1),
        {"$retainKeys": counted(size, "m")},
    ),
    "order": lambda size: (
        of_containers(entries(size)),
        of_containers(entries(size), **{"$setElementOrder/containers": entries(size)[::-1]}),
    ),
    "set": lambda size: (
        {"metadata": {"finalizers": counted(size)}},
        {"metadata": {"finalizers": counted(size, "m")}},
    ),
    "dropped": lambda size: (
        {"metadata": {"finalizers": counted(size)}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": counted(size, "m")}},
    ),
}


@pytest.mark.parametrize("name", STRATEGIC)
def test_strategic_patches(name: str) -> None:
    def work_for(size: int) -> Work:
        target, change = STRATEGIC[name](size)
        return lambda: strategic.merged(target, change)

    check_growth(work_for)


@pytest.mark.parametrize("name", STRATEGIC)
def test_three_way_merges(name: str) -> None:
    def work_for(size: int) -> Work:
        live, wanted = STRATEGIC[name](size)
        last, _ = STRATEGIC[name](size)
        return lambda: threeway.merged(last, live, wanted)

    check_growth(work_for)


def test_many_entries_of_a_patch_for_one_of_the_list_are_refused() -> None:
    """Each would copy what it is merged into: the one square that no count of calls shows."""
    large = [{"name": "a", **dict.fromkeys(names(1000), 1)}]
    with pytest.raises(ApiError, match="have the same name"):
        strategic.merged(of_containers(large), of_containers([{"name": "a"}] * 1000))
    few = strategic.merged(of_containers(large), of_containers([{"name": "a"}] * 16))
    assert few == of_containers(large)


class Place(msgspec.Struct, frozen=True):
    """Where a kind has a list or a map: its path, the last two fields of types on it, its type."""

    path: tuple[str | int, ...]
    fields: tuple[tuple[type, str], ...]
    of: inspect.Type


def places_of(
    kind: inspect.Type,
    path: tuple[str | int, ...] = (),
    fields: tuple[tuple[type, str], ...] = (),
) -> Iterator[Place]:
    match kind:
        case inspect.StructType():
            for field in kind.fields:
                last_two = (*fields, (kind.cls, field.name))[-2:]
                yield from places_of(field.type, (*path, field.encode_name), last_two)
        case inspect.VarTupleType():
            yield Place(path, fields, kind)
            yield from places_of(kind.item_type, (*path, 0), fields)
        case inspect.DictType():
            yield Place(path, fields, kind)
        case inspect.UnionType():
            for one in kind.types:
                yield from places_of(one, path, fields)
        case _:
            return


def filled(kind: inspect.Type, number: int) -> Any:  # noqa: C901  a type, a line
    """Return the least value of a type, another for each number where texts are free."""
    match kind:
        case inspect.StructType():
            return {f.encode_name: filled(f.type, number) for f in kind.fields if f.required}
        case inspect.VarTupleType():
            return []
        case inspect.DictType() | inspect.AnyType():
            return {}
        case inspect.UnionType():
            return filled(kind.types[0], number)
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.IntType():
            least = kind.ge or 0
            return least + number % min(60_000, (kind.le or 60_000) - least + 1)
        case inspect.BoolType():
            return False
        case inspect.CustomType():
            return str(number)
        case inspect.DateTimeType():
            return "2026-01-01T00:00:00Z"
        case _:
            return f"n{number}"


def many(kind: inspect.Type, size: int) -> Any:
    if isinstance(kind, inspect.DictType):
        return {f"n{number}": filled(kind.value_type, number) for number in range(size)}
    assert isinstance(kind, inspect.VarTupleType)
    return [filled(kind.item_type, number) for number in range(size)]


def with_value(tree: Any, path: tuple[str | int, ...], value: object, kind: inspect.Type) -> Any:
    """Return a tree with a value at a path; what is missing on the way is made."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    match kind:
        case inspect.UnionType():
            return with_value(tree, path, value, kind.types[0])
        case inspect.VarTupleType():
            own: Any = list(tree) if tree else [filled(kind.item_type, 0)]
            own[0] = with_value(own[0], rest, value, kind.item_type)
            return own
        case inspect.StructType():
            own = dict(tree) if isinstance(tree, dict) else filled(kind, 0)
            (field,) = (f for f in kind.fields if f.encode_name == step)
            own[step] = with_value(own.get(step), rest, value, field.type)
            return own
        case _:
            raise AssertionError(kind)


def example(kind: type[Object]) -> Tree:
    text = (EXAMPLES / f"{kind.resource.kind.lower()}.yaml").read_text()
    return yaml.documents(text)[0].tree


# Pods are in many kinds, and probes and selectors in many places of a pod: each kind is checked in
# one place for each two fields, and the reader, which knows only types, in one place of any kind.
OF_KINDS = {
    (kind, one.fields): (kind, one) for kind in KINDS for one in places_of(schema.type_of(kind))
}
OF_TYPES = {one.fields: (kind, one) for kind, one in OF_KINDS.values()}


def id_of(part: type[Object] | Place) -> str:
    return ".".join(map(str, part.path)) if isinstance(part, Place) else part.resource.kind


@pytest.mark.parametrize(("kind", "place"), OF_KINDS.values(), ids=id_of)
def test_objects(kind: type[Object], place: Place) -> None:
    """Every list and map of every kind: reading it, and each check on the way in."""

    def work_for(size: int) -> Work:
        body = json_of(tree_with_many(kind, place, size))
        return lambda: admitted(codec.read(kind, body, "Warn").model)

    check_growth(work_for)


@pytest.mark.parametrize(("kind", "place"), OF_TYPES.values(), ids=id_of)
def test_objects_with_an_unknown_field(kind: type[Object], place: Place) -> None:
    """The slow way, which finds every problem by its path."""

    def work_for(size: int) -> Work:
        tree = tree_with_many(kind, place, size)
        body = json_of({**tree, "metadata": {**tree.get("metadata", {}), "unknown": 1}})
        return lambda: codec.read(kind, body, "Ignore")

    check_growth(work_for)


def tree_with_many(kind: type[Object], place: Place, size: int) -> Any:
    return with_value(example(kind), place.path, many(place.of, size), schema.type_of(kind))


def admitted(one: Object) -> None:
    """Do to an object all that is done between reading and writing it."""
    strategy = strategy_of(type(one))
    prepared = strategy.prepared(one.defaulted())
    problems = [
        *prepared.problems(),
        *prepared.update_problems(prepared),
        *strategy.update_problems(prepared, prepared),
        *stamps.metadata_problems(prepared.metadata, prepared.metadata),
    ]
    object_refusal(strategy, NODE, "", prepared, prepared)
    stamps.with_next_generation(
        prepared, strategy.updated(prepared, stamps.with_server_fields(prepared, prepared))
    )
    invalid(one.kind, one.metadata.name, problems)


METADATA: Mapping[str, Callable[[list[str]], Tree]] = {
    "finalizers": lambda texts: {"finalizers": tuple(texts)},
    "labels": lambda texts: {"labels": dict.fromkeys(texts, "v")},
    "annotations": lambda texts: {"annotations": dict.fromkeys(texts, "v")},
    "owner_references": lambda texts: {
        "owner_references": tuple(
            OwnerReference(api_version="v1", kind="Node", name=text, uid=text) for text in texts
        )
    },
}


@pytest.mark.parametrize("field", METADATA)
def test_changes_of_metadata(field: str) -> None:
    """Old against new: what is looked up in the other is not compared with each of it."""

    def work_for(size: int) -> Work:
        old = ObjectMeta(name="n1", **METADATA[field](counted(size)))
        new = ObjectMeta(name="n1", **METADATA[field](counted(size, "m")))
        node = msgspec.convert({"metadata": {"name": "n1"}}, KINDS_BY_NAME["Node"])
        before, after = replaced(node, metadata=old), replaced(node, metadata=new)

        def work() -> None:
            list(stamps.metadata_problems(old, new))
            list(after.problems())
            object_refusal(strategy_of(type(after)), NODE, "", before, after)

        return work

    check_growth(work_for)


KINDS_BY_NAME = {kind.resource.kind: kind for kind in KINDS}


@pytest.mark.parametrize("field", METADATA)
def test_every_list_and_map_in_metadata_has_a_limit(field: str) -> None:
    """5000 of anything is refused in one sentence that names the field and the limit."""
    metadata = ObjectMeta(name="n1", **METADATA[field](names(5000)))
    found = list(metadata.problems(lambda _: True, ""))
    wire_name = {"owner_references": "ownerReferences"}.get(field, field)
    assert [problem.field for problem in found] == [f"metadata.{wire_name}"]
    assert found[0].message.startswith("too many: 5000, at most ")


def test_a_refusal_is_for_people_to_read() -> None:
    """Of thousands of problems the first are told: the answer is not larger than the body."""
    tree = {
        **example(KINDS_BY_NAME["Pod"]),
        "metadata": {"name": "x" * 100_000, "annotations": dict.fromkeys(names(900, "-"), "")},
    }
    one = codec.read(KINDS_BY_NAME["Pod"], json_of(tree)).model
    refusal = invalid("Pod", one.metadata.name, one.problems())
    assert len(refusal.problems) == 50
    assert len(refusal.message) < 20_000
