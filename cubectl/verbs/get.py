"""`cubectl get`: objects as a table, by name, or whole.

The server makes the tables, for it knows the columns of every kind, those of kinds that came after
this program too.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from itertools import groupby

from cubectl.api import TABLE, revision_of, strange
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

OUTPUTS = ("wide", "yaml", "json", "name")

type Found = list[tuple[Resource, list[Tree]]]


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND[,KIND] [NAME ...] | KIND/NAME ...")
    parser.add_argument("-o", "--output", choices=OUTPUTS, default="")
    parser.add_argument("-w", "--watch", action="store_true", help="go on with every change")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("--show-labels", action="store_true")
    add_selection(parser)


def run(options: Namespace, session: Session) -> None:
    targets = targets_in(options.words, session.kinds)
    namespace = "" if options.all_namespaces else session.namespace
    query = selection_of(options)
    _check(options, targets, query)
    if options.watch:
        _watch(options, session, targets[0], namespace, query)
    elif options.output in ("", "wide"):
        _print_tables(options, session, _tables(session, targets, namespace, query))
    else:
        found = _found(session, targets, namespace, query)
        _print_whole(options, session, found, is_one=len(targets) == 1 and bool(targets[0].name))


def _check(options: Namespace, targets: Sequence[Target], query: Query) -> None:
    is_named = any(target.name for target in targets)
    if is_named and options.all_namespaces:
        raise Misused("a name is of one namespace: use -n NAMESPACE, or no name with -A")
    if is_named and query:
        raise Misused("use names or a selector, not both")
    if options.watch and len(targets) > 1:
        raise Misused("-w follows one kind, or one object")


def _found(session: Session, targets: Sequence[Target], namespace: str, query: Query) -> Found:
    """Return the objects that there are for each target."""
    found: Found = []
    for kind, group in groupby(targets, key=lambda target: target.kind):
        place = namespace if kind.namespaced else ""
        trees: list[Tree] = []
        for target in group:
            try:
                if target.name:
                    trees.append(session.api.get(kind, target.name, place))
                else:
                    trees += session.api.list(kind, place, query).items
            except ApiError as error:
                session.fail(printers.safe(error.message))
        found.append((kind, trees))
    return found


def _tables(
    session: Session, targets: Sequence[Target], namespace: str, query: Query
) -> list[tuple[Resource, Table]]:
    """Return one table for each kind; a name that is not there does not hold up the others."""
    found = []
    for kind, group in groupby(targets, key=lambda target: target.kind):
        place = namespace if kind.namespaced else ""
        tables: list[Table] = []
        for target in group:
            try:
                if target.name:
                    tree = session.api.get(kind, target.name, place, accept=TABLE)
                    tables.append(_table_in(tree))
                else:
                    tables.append(_listed(session, kind, place, query)[0])
            except ApiError as error:
                session.fail(printers.safe(error.message))
        heads = tables[0].heads if tables else ()
        found.append((kind, Table(heads, tuple(row for one in tables for row in one.rows))))
    return found


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
    whole = trees[0] if is_one and trees else printers.list_of(trees)
    if trees or not is_one:
        text = printers.json_text if options.output == "json" else printers.yaml_text
        session.out.write(text(whole))


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
        is_wide = options.output == "wide"
        self._shown = [is_wide or not head.is_wide for head in table.heads]
        self._heads = self._framed(
            "NAMESPACE", [head.title.upper() for head in table.heads], "LABELS"
        )
        self._widths: list[int] = []

    def text(self, rows: Sequence[Row]) -> str:
        """Return heads and rows; remembers how wide they are."""
        shown = [self._row(row) for row in rows]
        self._widths = printers.widths_of([self._heads, *shown])
        shown = [self._heads, *shown] if self._has_heads else shown
        return printers.table_text(shown, self._session.width)

    def line(self, row: Row) -> str:
        """Return one more row, under those that were printed."""
        return printers.row_text(self._row(row), self._widths, self._session.width)

    def _row(self, row: Row) -> list[str]:
        cells = [printers.safe(cell) for cell in row.cells]
        if self._is_mixed and cells:
            cells[0] = printers.name_of(self._kind, str(row.metadata["name"]))
        space = printers.safe(str(row.metadata.get("namespace", "")))
        return self._framed(space, cells, printers.labels_cell(row.metadata))

    def _framed(self, space: str, cells: Sequence[str], labels: str) -> list[str]:
        """Return the cells that are shown, with what stands before and behind them."""
        shown = [cell for cell, is_shown in zip(cells, self._shown, strict=True) if is_shown]
        before = [space] if self._has_namespace else []
        return [*before, *shown, *([labels] if self._has_labels else [])]


def _watch(
    options: Namespace, session: Session, target: Target, namespace: str, query: Query
) -> None:
    """Print what there is, and a line for every change, until interrupted."""
    query = named(target.name) if target.name else query
    place = namespace if target.kind.namespaced else ""
    if options.output in ("", "wide"):
        _watch_rows(options, session, target.kind, place, query)
        return
    whole = printers.yaml_text if options.output == "yaml" else printers.json_text
    for tree in _changed_objects(session, target.kind, place, query):
        if options.output == "name":
            session.say(printers.name_of(target.kind, tree["metadata"]["name"]))
        else:
            session.say(whole(tree).rstrip("\n"))


def _watch_rows(
    options: Namespace, session: Session, kind: Resource, place: str, query: Query
) -> None:
    table, revision = _listed(session, kind, place, query)
    printed = Printed(options, session, kind, table)
    session.out.write(printed.text(table.rows))
    session.out.flush()
    seen = {_version(row.metadata) for row in table.rows}
    while True:
        try:
            for change in session.api.watch(kind, place, revision, query, accept=TABLE):
                revision = revision_of(change.tree)
                if change.verdict != "BOOKMARK":
                    for row in _table_in(change.tree).rows:
                        session.say(printed.line(row))
        except Gone:
            # The history is gone: what is there now, less what was printed already.
            table, revision = _listed(session, kind, place, query)
            for row in table.rows:
                if _version(row.metadata) not in seen:
                    session.say(printed.line(row))
            seen = {_version(row.metadata) for row in table.rows}


def _listed(session: Session, kind: Resource, place: str, query: Query) -> tuple[Table, str]:
    """Return all rows of a list, and the revision that a watch goes on from."""
    pages = list(session.api.pages(kind, place, query, accept=TABLE))
    tables = [_table_in(page) for page in pages]
    rows = tuple(row for table in tables for row in table.rows)
    return Table(tables[0].heads, rows), revision_of(pages[-1])


def _changed_objects(session: Session, kind: Resource, place: str, query: Query) -> Iterator[Tree]:
    """Yield all there is, and then each object that changed, for ever."""
    items, revision = session.api.list(kind, place, query)
    yield from items
    seen = {_version(tree["metadata"]) for tree in items}
    while True:
        try:
            for change in session.api.watch(kind, place, revision, query):
                revision = revision_of(change.tree)
                if change.verdict != "BOOKMARK":
                    yield change.tree
        except Gone:
            items, revision = session.api.list(kind, place, query)
            yield from (tree for tree in items if _version(tree["metadata"]) not in seen)
            seen = {_version(tree["metadata"]) for tree in items}


def _version(metadata: Tree) -> tuple[str, str]:
    return str(metadata.get("uid", "")), str(metadata.get("resourceVersion", ""))


VERB = Verb(configure, run)
