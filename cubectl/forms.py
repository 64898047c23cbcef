"""`-o` with a template or with columns: what makes the text of objects."""

from collections.abc import Callable

from cubectl.output import printers
from cubectl.session import Failed, Misused
from cubernetes.api.notation.jsontext import Tree

TEMPLATE_BYTES_MAX = 100_000
# Makes the text of objects; the second argument tells whether one alone was asked for.
type Text = Callable[[list[Tree], bool], str]


def form_of(output: str, *, is_headless: bool) -> Text | None:
    """Return what makes the text of a template or of columns; None for what is neither.

    Raises: Misused: it cannot be read, before anything is asked.
    """
    name, _, text = output.partition("=")
    makers: dict[str, Callable[[str], Text]] = {
        "jsonpath": _json_path,
        "go-template": _go_template,
        "custom-columns": lambda columns: _columned(columns, is_headless),
    }
    make = makers.get(name.removesuffix("-file"))
    if make is not None and text and name != "custom-columns-file":
        if name.endswith("-file"):
            text = _content_of(text)
        try:
            return make(text)
        except ValueError as error:
            raise Misused(f"{output[:200]}: {error}") from error
    return None


def _content_of(path: str) -> str:
    """Raises: Misused."""
    try:
        with open(path, "rb") as file:
            content = file.read(TEMPLATE_BYTES_MAX + 1)
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{path}: it cannot be read as a template: {error}") from error


def _json_path(text: str) -> Text:
    from cubernetes.api.notation.jsonpath import template_of, text_for

    template = template_of(text)
    return _of_whole(lambda whole: text_for(template, whole))


def _go_template(text: str) -> Text:
    from cubectl.output.gofunctions import Failed as Wrong
    from cubectl.output.gotemplate import template_of, text_for

    template = template_of(text)

    def carried_out(whole: Tree) -> str:
        try:
            return text_for(template, whole)
        except Wrong as error:
            raise Failed(f"the template cannot be carried out: {error}") from error

    return _of_whole(carried_out)


def _of_whole(made: Callable[[Tree], str]) -> Text:
    def form(trees: list[Tree], is_one: bool) -> str:
        if is_one and not trees:
            return ""
        return made(trees[0] if is_one else printers.list_of(trees))

    return form


def _columned(text: str, is_headless: bool) -> Text:
    from cubectl.output.columns import columns_of, rows_of

    columns = columns_of(text)

    def form(trees: list[Tree], _: bool) -> str:
        heads = [] if is_headless else [[column.title for column in columns]]
        return printers.table_text([*heads, *rows_of(columns, trees)])

    return form
