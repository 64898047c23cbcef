"""Go's templates beside what kubectl itself makes of them; see gotemplate.yaml."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cubectl.output.gofunctions import Failed
from cubectl.output.gotemplate import ACTION, Malformed, template_of, text_for

TABLE = yaml.safe_load((Path(__file__).parent / "gotemplate.yaml").read_text(encoding="utf-8"))
PIECES = ("{{", "}}", "range ", "end", "if ", ".a", ".", "$x", ":=", "|", "(", ")", "-", " ", '"')


def answered(template: str) -> str | None:
    try:
        return text_for(template_of(template), TABLE["pod"])
    except (Malformed, Failed):
        return None


@pytest.mark.parametrize(("template", "expected"), TABLE["same"].items())
def test_a_template_answers_as_kubectl_does(template: str, expected: str) -> None:
    assert answered(template) == expected


@pytest.mark.parametrize("template", TABLE["refused"])
def test_what_kubectl_refuses_is_refused(template: str) -> None:
    assert answered(template) is None


@pytest.mark.parametrize(("template", "told"), TABLE["other"].items())
def test_where_we_differ_it_is_written_down(template: str, told: dict[str, str | None]) -> None:
    ours = answered(template)

    assert ours == told["ours"]
    assert ours != told["kubectl"]


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{if .a}}" * 60, "over 50 deep"),
        ("x" * 100_001, "over 100000 characters"),
        ('{{template "x"}}', "is not supported"),
        ("{{range .a}}{{else if .b}}", "has no {{end}}"),
        ("{{$a, $b, $c := .x}}", "write \\$name := value"),
        ("{{.a := 1}}", "write \\$name := value"),
        ('{{"\\q"}}', "escape"),
        ("{{" + "(" * 51 + "1" + ")" * 51 + "}}", "parentheses stand over 50 deep"),
        ("{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "parentheses stand over 50 deep"),
        ("{{1e400}}", "1e400.* is too large"),
        ("{{" + "9" * 5000 + "}}", "is too large"),
        ("{{-9223372036854775809}}", "is too large"),
        ('{{"\\ud800"}}', "escape"),
        ("{{(.a}}", "unclosed left paren"),
        ("{{.a)}}", "unexpected"),
        ("{{.a | }}", "missing value"),
    ],
)
def test_what_cannot_be_read_is_told(template: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        template_of(template)


def test_a_width_is_within_its_bound() -> None:
    with pytest.raises(Failed, match="width of over 1000"):
        text_for(template_of('{{printf "%99999999d" 1}}'), {})


@pytest.mark.parametrize(
    "template",
    [
        '{{"a"' + '"a"' * 30_000,
        "{{" * 50_000,
        "{{/*" + "*/" * 45_000,
        "{{" + "/*" * 45_000,
        "{{'" + "\\'" * 45_000,
        "{{" + " " * 90_000 + "-",
    ],
    ids=["texts", "actions", "ends of comments", "comments", "quotes", "blanks"],
)
def test_the_longest_unclosed_action_is_refused(template: str) -> None:
    """It ends: a reader that tries each split of it anew would not."""
    with pytest.raises(Malformed, match="unclosed action"):
        template_of(template)


def test_an_expression_never_goes_back_over_what_it_has_read() -> None:
    """Each repetition is possessive: the work grows with the length alone."""
    repeated = re.findall(r"(?:[)\]]|\\.|(?<=\))\.)[*+?]\+?", ACTION.pattern)

    assert repeated
    assert all(one.endswith("+") and len(one) > 2 for one in repeated)


def test_many_blanks_are_read_as_plain_text() -> None:
    blanks = " " * 45_000

    assert text_for(template_of(f"{blanks}{{{{1}}}}{blanks}"), {}) == f"{blanks}1{blanks}"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_number_without_an_end_is_told(value: float) -> None:
    assert "n" in text_for(template_of("{{.}}"), value)


@given(template=st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_no_template_breaks_the_reader(template: str) -> None:
    """It is carried out, or refused with a sentence."""
    told = answered(template)

    assert told is None or isinstance(told, str)
    assert told == template or "{{" in template or "}}" in template
