"""kubectl's JSONPath templates: the examples of its manual, and what cannot be read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cubernetes.api.notation.jsonpath import Malformed, path_of, template_of, text_for, values_at

# The list of kubernetes.io/docs/reference/kubectl/jsonpath, as far as its examples use it.
LIST = {
    "kind": "List",
    "items": [
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
            "status": {
                "capacity": {"cpu": "4"},
                "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}],
            },
        },
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.2"},
            "status": {
                "capacity": {"cpu": "8"},
                "addresses": [
                    {"type": "LegacyHostIP", "address": "127.0.0.2"},
                    {"type": "another", "address": "127.0.0.3"},
                ],
            },
        },
    ],
    "users": [
        {"name": "myself", "user": {}},
        {"name": "e2e", "user": {"username": "admin", "password": "secret", "age": 7}},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("kind is {.kind}", "kind is List"),
        ("{['kind']}", "List"),
        ("{$.kind}{@.kind}", "ListList"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.items[*].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"),
        ("{.items[0].metadata.labels['kubernetes.io/hostname']}", "127.0.0.1"),
        ("{.users[0].name}", "myself"),
        ("{.users[-1].name}", "e2e"),
        ("{.users[-2:].name}", "myself e2e"),
        ("{.users[0:2:2].name}", "myself"),
        ("{.items[*]['metadata.name', 'kind']}", "None None"),
        ("{.items[0]['kind','metadata']['name']}", "127.0.0.1"),
        ("{.users[0,1].name}", "myself e2e"),
        ('{.users[?(@.name=="e2e")].user.password}', "secret"),
        ("{.users[?(@.name=='e2e')].user.password}", "secret"),
        ('{.users[?(@.name!="e2e")].name}', "myself"),
        ("{.users[?(@.user.age>6)].name}{.users[?(@.user.age>7)].name}", "e2e"),
        ("{.users[?(@.user.username)].name}", "e2e"),
        ('{.items[?(@.status.addresses[1].type=="another")].metadata.name}', "127.0.0.2"),
        ('{.users[?(@.name<5)].name}{.users[?("a"==@.name)].name}', ""),
        (
            "{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}",
            "[127.0.0.1, 4] [127.0.0.2, 8] ",
        ),
        (
            '{range .items[*]}{.metadata.name}{"\\t"}'
            '{range .status.addresses[*]}<{.type}>{end}{"\\n"}{end}',
            "127.0.0.1\t<LegacyHostIP>\n127.0.0.2\t<LegacyHostIP><another>\n",
        ),
        ("{range .items[*]}{$.kind}{end}", "ListList"),
        ('{"a\\"b"}{\'c"d\'}', 'a"bc"d'),
        ("{.users[1].user}", '{"username":"admin","password":"secret","age":7}'),
        ("{.items[0].status.addresses[0]}", '{"type":"LegacyHostIP","address":"127.0.0.1"}'),
        ("{.none.at.all}{.kind.of}{.users.name}{.kind[0]}", ""),
        ("plain", "plain"),
        ("{.items[*].kind} {.kind}", "None None List"),
        ("{.users[*].user.age}", "7"),
    ],
)
def test_a_template_is_carried_out_as_kubectl_does(template: str, text: str) -> None:
    assert text_for(template_of(template), LIST) == text


@pytest.mark.parametrize(
    "template",
    [
        "{.a", ".a}", "{range .a}", "{end}", "{.a[x]}", "{.a[]}", "{.a[1:2:0]}", "{.a[?(@.b]}",
        '{"\\x"}', "{" + "." * 10_001 + "}", "{.a(b)}",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(template: str) -> None:
    with pytest.raises(Malformed):
        template_of(template)


def test_a_path_alone_is_read_too() -> None:
    assert values_at(path_of(".status.capacity.cpu"), LIST["items"][0]) == ["4"]


# What kubectl itself makes of templates; see there how that was found.
TABLE = yaml.safe_load((Path(__file__).parent / "jsonpath.yaml").read_text(encoding="utf-8"))


def unordered(text: str) -> Any:
    """Return what is equal where only the order of fields differs: kubectl's is by chance."""
    try:
        return json.loads(text)
    except ValueError:
        return sorted(text.split())


def answered(template: str) -> str | None:
    try:
        return text_for(template_of(template), TABLE["pod"])
    except Malformed:
        return None


@pytest.mark.parametrize(("template", "expected"), TABLE["same"].items())
def test_a_template_answers_as_kubectl_does(template: str, expected: str) -> None:
    told = answered(template)

    assert told is not None
    assert told == expected or unordered(told) == unordered(expected)


@pytest.mark.parametrize("template", TABLE["refused"])
def test_what_kubectl_refuses_is_refused(template: str) -> None:
    assert answered(template) is None


@pytest.mark.parametrize(("template", "told"), TABLE["other"].items())
def test_where_we_differ_it_is_written_down(template: str, told: dict[str, str | None]) -> None:
    """A path that leads nowhere is empty, whatever is at its end; a slip of the pen is refused."""
    ours = answered(template)

    assert ours == told["ours"]
    assert ours != told["kubectl"]
