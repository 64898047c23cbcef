"""What describe prints, line by line: identity, fields of every shape, tables, events."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cubectl.output.describe import Section, description, title_of
from cubernetes.api.coding import codec
from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.event import Event, EventSeries
from cubernetes.api.core.secret import Secret
from cubernetes.api.meta import Object, ObjectMeta, OwnerReference, replaced
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.patches.threeway import LAST_APPLIED
from tests.given import NOW, a_node, an_event

NODE = a_node("n1")
HOUR_AGO = NOW - timedelta(hours=1)
BARE = ObjectMeta(name="n1")
IDENTITY = """\
Name:           n1
Labels:         <none>
Annotations:    <none>
UID:            <none>
Created:        <unknown>
"""
NO_EVENTS = "Events:         <none>\n"


def identity(**facts: Any) -> str:
    """Return what is told of an object without fields and events."""
    said = description(replaced(NODE, metadata=ObjectMeta(**facts)), {}, (), (), NOW)
    assert said.endswith(NO_EVENTS)
    return said.removesuffix(NO_EVENTS)


def fields(tree: Tree) -> str:
    said = description(replaced(NODE, metadata=BARE), tree, (), (), NOW)
    assert said.startswith(IDENTITY)
    return said.removeprefix(IDENTITY).removesuffix(NO_EVENTS)


def events(*each: Event) -> list[str]:
    trees = [codec.to_tree(one) for one in each]
    said = description(replaced(NODE, metadata=BARE), {}, (), trees, NOW)
    return said.removeprefix(IDENTITY).splitlines()


def test_an_object_is_told_with_all_that_its_metadata_say() -> None:
    owners = (
        OwnerReference(kind="ReplicaSet", name="rs", uid="1", api_version="v1", controller=True),
        OwnerReference(kind="Node", name="n2", uid="2", api_version="v1"),
    )
    said = identity(
        name="web", namespace="shop", uid="u1", labels={"tier": "b", "app": "a"},
        annotations={"note": "x\x1b", LAST_APPLIED: "{}", "b": ""},
        creation_timestamp=HOUR_AGO, deletion_timestamp=NOW - timedelta(seconds=5),
        owner_references=owners, finalizers=("a/b", "c/d"),
    )  # fmt: skip

    assert said == (
        "Name:           web\n"
        "Namespace:      shop\n"
        "Labels:         app=a\n"
        "                tier=b\n"
        "Annotations:    b=\n"
        "                note=x\\x1b\n"
        "UID:            u1\n"
        "Created:        2025-01-01T11:00:00Z (60m ago)\n"
        "Deleted:        2025-01-01T11:59:55Z (5s ago)\n"
        "Controlled By:  ReplicaSet/rs\n"
        "Owned By:       Node/n2\n"
        "Finalizers:     a/b, c/d\n"
    )


def test_what_metadata_do_not_say_is_none_or_left_out() -> None:
    assert identity(name="n1") == IDENTITY
    assert identity(name="n1", annotations={LAST_APPLIED: "{}"}) == IDENTITY


def test_times_are_told_to_the_second() -> None:
    said = identity(name="n1", creation_timestamp=HOUR_AGO + timedelta(microseconds=5))
    assert "2025-01-01T11:00:00Z (" in said


def test_fields_of_every_shape_stand_below_each_other_in_one_column() -> None:
    tree: Tree = {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "empty": {}, "no": "",
        "spec": {
            "hostIP": "10.0.0.1", "on": True, "off": False, "count": 0, "blank": "",
            "nothing": None, "none": [], "args": ["a", 1, True, None], "emptyDir": {},
            "selector": {"b": "2", "a": "1"},
            "limits": {"memory": 1, "cpu": {"x": 1}},
            "inner": {"selector": {"matchLabels": {"b": "2", "a": "1"}}, "odd\x1b\x1b\x1b": "\x07"},
            "ports": [{"port": 80, "name": "web"}, {"port": 443}, {"deep": {"a": {"b": "c"}}}],
        },
        "data": {"a": "b"},
    }  # fmt: skip

    assert fields(tree) == (
        "Spec:\n"
        "  Host IP:    10.0.0.1\n"
        "  On:         true\n"
        "  Off:        false\n"
        "  Count:      0\n"
        "  Blank:      <none>\n"
        "  Args:       a 1 true <none>\n"
        "  Empty Dir:  {}\n"
        "  Selector:   a=1,b=2\n"
        "  Limits:     cpu={'x': 1},memory=1\n"
        "  Inner:\n"
        "    Selector:\n"
        "      Match Labels:  a=1,b=2\n"
        "    Odd\\x1b\\x1b\\x1b:  \\x07\n"
        "  Ports:\n"
        "    - Port:  80\n"
        "      Name:  web\n"
        "    - Port:  443\n"
        "    - Deep:\n"
        "        A:\n"
        "          B:  c\n"
        "Data:\n"
        "  A:  b\n"
    )


def test_lists_of_nothing_are_no_fields() -> None:
    assert fields({"spec": {"a": [], "b": None}}) == "Spec:\n"
    assert fields({"spec": {"a": [{}]}}) == "Spec:\n  A:\n"


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("hostIP", "Host IP"), ("clusterIPs", "Cluster IPs"), ("podCIDR", "Pod CIDR"),
        ("HTTPRoute", "HTTP Route"), ("a", "A"), ("", ""), ("ipv4Address", "Ipv4 Address"),
    ],
)  # fmt: skip
def test_the_name_of_a_field_is_told_in_words(key: str, title: str) -> None:
    assert title_of(key) == title


def test_facts_of_other_objects_are_tables_with_titles() -> None:
    sections: tuple[Section, ...] = (("Pods", [["NAME", "AGE"], ["web", "1m"]]), ("Leases", []))
    said = description(replaced(NODE, metadata=BARE), {}, sections, (), NOW)

    table = "Pods:\n  NAME   AGE\n  web    1m\nLeases:\n"
    assert said == f"{IDENTITY}{table}{NO_EVENTS}"


def at(second: int) -> datetime:
    return NOW - timedelta(seconds=60 - second)


def test_events_are_told_the_oldest_first_with_their_counts() -> None:
    first, last = an_event(NODE, "A", "one\x1b", at=at(5)), an_event(NODE, "B", count=2, at=at(50))
    warned = replaced(an_event(NODE, "C\x07", at=at(30)), type="Warning")

    assert events(last, warned, first) == [
        "Events:",
        "  LAST SEEN   TYPE      REASON        MESSAGE",
        "  55s         Normal    A             one\\x1b",
        "  30s         Warning   C\\x07         the container runs",
        "  10s         Normal    B        2x   the container runs",
    ]


def test_events_in_the_newer_words_have_their_times_and_counts_too() -> None:
    new = replaced(an_event(NODE, "New"), last_timestamp=None, first_timestamp=None, count=0)
    once = replaced(new, event_time=at(20), reason="Once")
    often = replaced(
        new, event_time=at(1), reason="Often",
        series=EventSeries(count=4, last_observed_time=at(40)),
    )  # fmt: skip
    made = replaced(new, reason="Made", metadata=replaced(new.metadata, creation_timestamp=at(30)))
    unknown = replaced(new, reason="?", metadata=replaced(new.metadata, creation_timestamp=None))

    rows = [line.split()[:4] for line in events(often, made, once, unknown)[2:]]
    assert rows == [
        ["<unknown>", "Normal", "?", "the"],
        ["40s", "Normal", "Once", "the"],
        ["30s", "Normal", "Made", "the"],
        ["20s", "Normal", "Often", "4x"],
    ]


def test_an_event_may_have_fields_that_this_program_does_not_know() -> None:
    tree = {**codec.to_tree(an_event(NODE, "A")), "brandNew": 1}
    said = description(replaced(NODE, metadata=BARE), {}, (), [tree], NOW)

    assert "  0s          Normal   A           the container runs\n" in said


def told(one: Object) -> str:
    said = description(one, codec.to_tree(one), (), (), NOW)
    return said.removeprefix(IDENTITY).removesuffix(NO_EVENTS)


def test_contents_of_a_configmap_are_laid_out_by_key() -> None:
    one = ConfigMap(
        metadata=BARE, data={"b": "x: 1\n\ny\x1b\n\n", "a\x07": "", "c": "X \n", "d": "X"},
        binary_data={"z": "/wA=", "b\x07": "%", "a": "//8A"},
    )  # fmt: skip

    assert told(one) == (
        "\nData\n====\n"
        "a\\x07:\n----\n\n\n"
        "b:\n----\nx: 1\n\ny\\x1b\n\n"
        "c:\n----\nX \n\n"
        "d:\n----\nX\n\n"
        "\nBinaryData\n====\n"
        "a: 3 bytes\n"
        "b\\x07: 0 bytes\n"
        "z: 2 bytes\n"
        "\n"
    )
    assert told(ConfigMap(metadata=BARE)) == "\nData\n====\n\nBinaryData\n====\n\n"


def test_contents_of_a_secret_are_sizes() -> None:
    one = Secret(metadata=BARE, data={"user": "bWU=", "key\x07": "%"}, type="Opaque")

    assert told(one) == ("Type:  Opaque\n\nData\n====\nkey\\x07:  0 bytes\nuser:  2 bytes\n\n")
