"""Go's templates beside what kubectl itself makes of them; see gotemplate.yaml."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cubectl.output.gofunctions import Failed
from cubectl.output.gotemplate import Malformed, template_of, text_for

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


@given(template=st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_no_template_breaks_the_reader(template: str) -> None:
    """It is carried out, or refused with a sentence."""
    told = answered(template)

    assert told is None or isinstance(told, str)
    assert told == template or "{{" in template or "}}" in template
