"""`cubectl get`: objects as a table, by name, or whole.

The server makes the tables, for it knows the columns of every kind, those of kinds that came after
this program too.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from cubectl.api import JSON, TABLE, revision_of, strange
from cubectl.objects.targets import Target, targets_in
from cubectl.objects.waiting import named
from cubectl.output import printers
from cubectl.output.tables import NoTable, Row, Table, table_in
from cubectl.session import Misused, Session
from cubectl.verb import Verb, add_selection, selection_of
from cubernetes.api.errors import ApiError, Gone
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.resource import Resource
from cubernetes.client.wire.queries import Query

if TYPE_CHECKING:
    from cubectl.forms import Text
    from cubernetes.api.notation.jsonpath import Path

type Found = list[tuple[Resource, list[Tree]]]
PLAIN = ("wide", "yaml", "json", "name")
TOLD = (
    "wide, yaml, json, name, jsonpath=TEMPLATE, jsonpath-file=FILE, go-template=TEMPLATE, "
    "go-template-file=FILE or custom-columns=TITLE:PATH,..."
)
# What a list is, where a watch would tell of it.
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND[,KIND] [NAME ...] | KIND/NAME ...")
    parser.add_argument("-o", "--output", default="", metavar="FORM", help=TOLD)
    parser.add_argument("--sort-by", default="", metavar="PATH", help="such as .metadata.name")
    parser.add_argument("--raw", default="", metavar="PATH", help="what stands at a path")
    parser.add_argument("-w", "--watch", action="store_true", help="go on with every change")
    parser.add_argument("--output-watch-events", action="store_true",
                        help="with -w: what happened, too: ADDED, MODIFIED or DELETED")  # fmt: skip
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("--show-labels", action="store_true")
    parser.add_argument("--show-managed-fields", action="store_true",
                        help="with -o yaml or json: who owns which field, too")  # fmt: skip
    add_selection(parser)


def asked(**said: Any) -> Namespace:
    """Return the options of a `get` that says this and nothing more, for other verbs."""
    parser = ArgumentParser()
    configure(parser)
    return Namespace(**{**vars(parser.parse_args([])), **said})


def run(options: Namespace, session: Session) -> None:
    if options.raw:
        _print_raw(options, session)
        return
    form = _form_of(options)
    targets = targets_in(options.words, session.kinds)
    namespace = "" if options.all_namespaces else session.namespace
    query = selection_of(options)
    _check(options, targets, query)
    if options.watch:
        _watch(options, session, targets[0], namespace, query)
    elif options.output in ("", "wide"):
        tables = _tables(session, targets, namespace, query)
        if options.sort_by:
            found = _found(session, targets, namespace, query)
            tables = [
                (kind, _in_order(table, _sorted(options, trees)))
                for (kind, table), (_, trees) in zip(tables, found, strict=True)
            ]
        _print_tables(options, session, tables)
    else:
        found = _found(session, targets, namespace, query)
        is_one = len(targets) == 1 and bool(targets[0].name)
        if options.sort_by:
            found = [(kind, _sorted(options, trees)) for kind, trees in found]
        if form is not None:
            session.out.write(form([tree for _, trees in found for tree in trees], is_one))
        else:
            _print_whole(options, session, found, is_one=is_one)


def _form_of(options: Namespace) -> "Text | None":
    """Return what makes the text of a template or of columns; None for the plain forms.

    Raises: Misused: it cannot be read, before anything is asked.
    """
    if options.sort_by:
        _path(options.sort_by)
    if options.output in ("", *PLAIN):
        return None
    # Templates are read when they are needed: most lists have no use of them.
    from cubectl.forms import form_of

    form = form_of(options.output, is_headless=options.no_headers)
    if form is None:
        raise Misused(f"--output: {options.output[:80]!r} is none of {TOLD}")
    return form


def _path(text: str) -> "Path":
    """Read the path of --sort-by. Raises: Misused."""
    from cubectl.output.columns import one_path

    try:
        return one_path(text)
    except ValueError as error:
        raise Misused(f"{text}: {error}") from error


def _print_raw(options: Namespace, session: Session) -> None:
    if options.words or not options.raw.startswith("/"):
        raise Misused("--raw: must be a path such as /api/v1/nodes, and no other argument")
    session.out.write(session.api.text(options.raw).decode(errors="backslashreplace"))


def _check(options: Namespace, targets: Sequence[Target], query: Query) -> None:
    is_named = any(target.name for target in targets)
    if is_named and options.all_namespaces:
        raise Misused("a name is of one namespace: use -n NAMESPACE, or no name with -A")
    if is_named and query:
        raise Misused("use names or a selector, not both")
    if options.watch and (options.sort_by or "=" in options.output):
        raise Misused("-w goes with wide, yaml, json and name, and with no --sort-by")
    if options.output_watch_events and not options.watch:
        raise Misused("--output-watch-events can only be used with -w/--watch")
    if options.watch and len(targets) > 1:
        raise Misused("-w follows one kind, or one object")


def _sorted(options: Namespace, trees: list[Tree]) -> list[Tree]:
    from cubectl.output.columns import order_by

    return sorted(trees, key=order_by(_path(options.sort_by)))


def _in_order(table: Table, trees: Sequence[Tree]) -> Table:
    """Return a table with its rows in the order of the objects; what came since is last."""
    places = {_place_of(tree["metadata"]): at for at, tree in enumerate(trees)}
    last = len(places)
    rows = sorted(table.rows, key=lambda row: places.get(_place_of(row.metadata), last))
    return Table(table.heads, tuple(rows))


def _place_of(metadata: Tree) -> tuple[str, str]:
    return str(metadata.get("namespace", "")), str(metadata["name"])


def _answered[T](
    session: Session,
    targets: Sequence[Target],
    namespace: str,
    ask: Callable[[Target, str], T],
) -> Iterator[tuple[Resource, list[T]]]:
    """Yield, for each kind, the answers for its targets; one that fails holds up no other.

    ask is given a target and the namespace to look in.
    """
    for kind, group in groupby(targets, key=lambda target: target.kind):
        place = namespace if kind.namespaced else ""
        answers: list[T] = []
        for target in group:
            try:
                answers.append(ask(target, place))
            except ApiError as error:
                session.fail(printers.safe(error.message))
        yield kind, answers


def _found(session: Session, targets: Sequence[Target], namespace: str, query: Query) -> Found:
    """Return the objects that there are for each kind."""

    def ask(target: Target, place: str) -> list[Tree]:
        if target.name:
            return [session.api.get(target.kind, target.name, place)]
        return list(session.api.list(target.kind, place, query).items)

    return [
        (kind, [tree for trees in answers for tree in trees])
        for kind, answers in _answered(session, targets, namespace, ask)
    ]


def _tables(
    session: Session, targets: Sequence[Target], namespace: str, query: Query
) -> list[tuple[Resource, Table]]:
    """Return one table for each kind."""

    def ask(target: Target, place: str) -> Table:
        if target.name:
            return _table_in(session.api.get(target.kind, target.name, place, accept=TABLE))
        return _listed(session, target.kind, place, query)[0]

    return [(kind, _joined(tables)) for kind, tables in _answered(session, targets, namespace, ask)]


def _table_in(tree: Tree) -> Table:
    try:
        return table_in(tree)
    except NoTable as error:
        raise strange(str(error)) from error


def _print_whole(options: Namespace, session: Session, found: Found, *, is_one: bool) -> None:
    trees = [tree for _, listed in found for tree in listed]
    if options.output == "name":
        for kind, listed in found:
            for tree in listed:
                session.say(printers.name_of(kind, tree["metadata"]["name"]))
        return
    trees = [_shown(options, tree) for tree in trees]
    whole = trees[0] if is_one and trees else printers.list_of(trees)
    if trees or not is_one:
        text = printers.json_text if options.output == "json" else printers.yaml_text
        session.out.write(text(whole))


def _shown(options: Namespace, tree: Tree) -> Tree:
    return tree if options.show_managed_fields else printers.without_owners(tree)


def _print_tables(
    options: Namespace, session: Session, found: Sequence[tuple[Resource, Table]]
) -> None:
    full = [(kind, table) for kind, table in found if table.rows]
    if not full and not session.failure_count:
        place = "" if options.all_namespaces else f" in namespace {session.namespace}"
        session.tell(f"no {' or '.join(kind.plural for kind, _ in found)}{place}")
    for index, (kind, table) in enumerate(full):
        printed = Printed(options, session, kind, table, is_mixed=len(found) > 1)
        if index:
            session.say("")
        session.out.write(printed.text(table.rows))


class Printed:
    """The rows of one kind, with the widths of those that were printed first."""

    def __init__(
        self,
        options: Namespace,
        session: Session,
        kind: Resource,
        table: Table,
        *,
        is_mixed: bool = False,
    ) -> None:
        """table is the first one: it has the heads of all that follow."""
        self._session, self._kind, self._is_mixed = session, kind, is_mixed
        self._has_heads = not options.no_headers
        self._has_namespace = options.all_namespaces and kind.namespaced
        self._has_labels = options.show_labels
        self._has_events = options.output_watch_events
        is_wide = options.output == "wide"
        self._shown = [is_wide or not head.is_wide for head in table.heads]
        self._heads = self._framed(
            "EVENT", "NAMESPACE", [head.title.upper() for head in table.heads], "LABELS"
        )
        self._widths: list[int] = []

    def text(self, rows: Sequence[Row]) -> str:
        """Return heads and rows; remembers how wide they are."""
        shown = [self._row(row) for row in rows]
        self._widths = printers.widths_of([self._heads, *shown])
        shown = [self._heads, *shown] if self._has_heads else shown
        return printers.table_text(shown, self._session.width)

    def line(self, verdict: str, row: Row) -> str:
        """Return one more row, under those that were printed; verdict: what happened to it."""
        return printers.row_text(self._row(row, verdict), self._widths, self._session.width)

    def _row(self, row: Row, verdict: str = ADDED) -> list[str]:
        cells = [printers.safe(cell) for cell in row.cells]
        if self._is_mixed and cells:
            cells[0] = printers.name_of(self._kind, str(row.metadata["name"]))
        space = printers.safe(str(row.metadata.get("namespace", "")))
        return self._framed(
            printers.safe(verdict), space, cells, printers.labels_cell(row.metadata)
        )

    def _framed(self, event: str, space: str, cells: Sequence[str], labels: str) -> list[str]:
        """Return the cells that are shown, with what stands before and behind them."""
        shown = [cell for cell, is_shown in zip(cells, self._shown, strict=True) if is_shown]
        before = [event] if self._has_events else []
        before += [space] if self._has_namespace else []
        return [*before, *shown, *([labels] if self._has_labels else [])]


class Asked(NamedTuple):
    """What is followed: objects of a kind, in a namespace or in all of them."""

    session: Session
    kind: Resource
    place: str
    query: Query


class Form[T](NamedTuple):
    """How what is followed comes: as rows of a table, or as whole objects.

    accept: how the server is asked for it.
    listed: reads all there is, and the revision that a watch goes on from.
    changed: takes out of a line of a watch what it tells of.
    metadata: of one of these.
    """

    accept: str
    listed: Callable[[Asked], tuple[Sequence[T], str]]
    changed: Callable[[Tree], Sequence[T]]
    metadata: Callable[[T], Tree]


def _watch(
    options: Namespace, session: Session, target: Target, namespace: str, query: Query
) -> None:
    """Print what there is, and a line for every change, until interrupted."""
    place = namespace if target.kind.namespaced else ""
    asked = Asked(session, target.kind, place, named(target.name) if target.name else query)
    if options.output in ("", "wide"):
        table, revision = _listed(*asked)
        printed = Printed(options, session, target.kind, table)
        session.out.write(printed.text(table.rows))
        session.out.flush()
        for verdict, row in _changes(asked, ROWS, table.rows, revision):
            session.say(printed.line(verdict, row))
        return
    whole = printers.yaml_text if options.output == "yaml" else printers.json_text
    items, revision = TREES.listed(asked)
    found = ((ADDED, tree) for tree in items)
    for verdict, tree in chain(found, _changes(asked, TREES, items, revision)):
        if options.output == "name":
            session.say(printers.name_of(target.kind, tree["metadata"]["name"]))
            continue
        told = _shown(options, tree)
        if options.output_watch_events:
            told = {"type": verdict, "object": told}
        session.say(whole(told).rstrip("\n"))


def _changes[T](
    asked: Asked, form: Form[T], listed: Sequence[T], revision: str
) -> Iterator[tuple[str, T]]:
    """Yield what changes after a list, for ever, and how; listed is what that list had."""
    session, kind, place, query = asked
    known = {_key(form.metadata(one)): one for one in listed}
    while True:
        try:
            for change in session.api.watch(kind, place, revision, query, accept=form.accept):
                revision = revision_of(change.tree)
                if change.verdict == "BOOKMARK":
                    continue
                for one in form.changed(change.tree):
                    key = _key(form.metadata(one))
                    if change.verdict == DELETED:
                        known.pop(key, None)
                    else:
                        known[key] = one
                    yield change.verdict, one
        except Gone:
            # The history is gone: what is there now tells what happened.
            listed, revision = form.listed(asked)
            now = {_key(form.metadata(one)): one for one in listed}
            yield from _between(known, now, form.metadata)
            known = now


def _between[T](
    before: Mapping[str, T], now: Mapping[str, T], metadata: Callable[[T], Tree]
) -> Iterator[tuple[str, T]]:
    """Yield what happened between two lists, and how; of each, an object by its key."""
    yield from ((DELETED, one) for key, one in before.items() if key not in now)
    for key, one in now.items():
        if key not in before:
            yield ADDED, one
        elif _version(metadata(before[key])) != _version(metadata(one)):
            yield MODIFIED, one


def _listed(session: Session, kind: Resource, place: str, query: Query) -> tuple[Table, str]:
    """Return all rows of a list, and the revision that a watch goes on from."""
    pages = list(session.api.pages(kind, place, query, accept=TABLE))
    tables = [_table_in(page) for page in pages]
    return _joined(tables), revision_of(pages[-1])


def _joined(tables: Sequence[Table]) -> Table:
    """Return one table of the rows of all; the first has the heads."""
    heads = tables[0].heads if tables else ()
    return Table(heads, tuple(row for one in tables for row in one.rows))


def _listed_rows(asked: Asked) -> tuple[Sequence[Row], str]:
    table, revision = _listed(*asked)
    return table.rows, revision


def _listed_trees(asked: Asked) -> tuple[Sequence[Tree], str]:
    return asked.session.api.list(asked.kind, asked.place, asked.query)


def _key(metadata: Tree) -> str:
    """Return what tells an object from all others; of what has no uid, where it is."""
    return str(metadata.get("uid") or f"{metadata.get('namespace', '')}/{metadata['name']}")


def _version(metadata: Tree) -> str:
    return str(metadata.get("resourceVersion", ""))


ROWS = Form(TABLE, _listed_rows, lambda tree: _table_in(tree).rows, lambda row: row.metadata)
TREES = Form(JSON, _listed_trees, lambda tree: (tree,), lambda tree: tree["metadata"])
VERB = Verb(configure, run)
