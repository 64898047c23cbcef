"""`cubectl get`: objects as a table, by name, or whole."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from itertools import groupby

from cubectl import printers
from cubectl.session import Misused, Session
from cubectl.targets import Target, targets_in
from cubectl.verb import Verb, add_selection, selection_of
from cubernetes.api import codec
from cubernetes.api.errors import ApiError, Gone
from cubernetes.api.meta import Object
from cubernetes.api.notation.jsontext import Tree

OUTPUTS = ("wide", "yaml", "json", "name")

type Found = list[tuple[type[Object], list[Tree]]]


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="KIND[,KIND] [NAME ...] | KIND/NAME ...")
    parser.add_argument("-o", "--output", choices=OUTPUTS, default="")
    parser.add_argument("-w", "--watch", action="store_true", help="go on with every change")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("--no-headers", action="store_true")
    parser.add_argument("--show-labels", action="store_true")
    add_selection(parser)


def run(options: Namespace, session: Session) -> None:
    targets = targets_in(options.words)
    namespace = "" if options.all_namespaces else session.namespace
    query = selection_of(options)
    _check(options, targets, query)
    if options.watch:
        _watch(options, session, targets[0], namespace, query)
        return
    found, _ = _found(session, targets, namespace, query)
    if options.output in ("json", "yaml", "name"):
        _print_whole(options, session, found, is_one=len(targets) == 1 and bool(targets[0].name))
    else:
        _print_tables(options, session, found)


def _check(options: Namespace, targets: Sequence[Target], query: dict[str, str]) -> None:
    is_named = any(target.name for target in targets)
    if is_named and options.all_namespaces:
        raise Misused("a name is of one namespace: use -n NAMESPACE, or no name with -A")
    if is_named and query:
        raise Misused("use names or a selector, not both")
    if options.watch and len(targets) > 1:
        raise Misused("-w follows one kind, or one object")


def _found(
    session: Session, targets: Sequence[Target], namespace: str, query: dict[str, str]
) -> tuple[Found, str]:
    """Return what there is for each target, and the revision of the last list.

    A name that is not there is a failure that does not hold up the others.
    """
    found: Found = []
    revision = ""
    for kind, group in groupby(targets, key=lambda target: target.kind):
        trees: list[Tree] = []
        place = namespace if kind.resource.namespaced else ""
        for target in group:
            try:
                if target.name:
                    trees.append(session.api.get(kind, target.name, place))
                else:
                    listed, revision = session.api.list(kind, place, query)
                    trees += listed
            except ApiError as error:
                session.fail(printers.safe(error.message))
        found.append((kind, trees))
    return found, revision


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


def _print_tables(options: Namespace, session: Session, found: Found) -> None:
    full = [(kind, trees) for kind, trees in found if trees]
    if not full and not session.failure_count:
        place = "" if options.all_namespaces else f" in namespace {session.namespace}"
        session.tell(f"no {' or '.join(kind.resource.plural for kind, _ in found)}{place}")
    for index, (kind, trees) in enumerate(full):
        table = Table(options, session, kind, is_mixed=len(found) > 1)
        if index:
            session.say("")
        session.out.write(table.text(trees))


class Table:
    """The rows of one kind, with the widths of those that were printed first."""

    def __init__(
        self, options: Namespace, session: Session, kind: type[Object], *, is_mixed: bool = False
    ) -> None:
        self._session, self._kind, self._is_mixed = session, kind, is_mixed
        self._has_heads = not options.no_headers
        self._has_namespace = options.all_namespaces and kind.resource.namespaced
        self._has_labels = options.show_labels
        self._columns = printers.columns_of(kind, is_wide=options.output == "wide")
        self._widths: list[int] = []

    def text(self, trees: Sequence[Tree]) -> str:
        """Return heads and rows; remembers how wide they are."""
        rows = [self._row(tree) for tree in trees]
        rows = [self._heads(), *rows] if self._has_heads else rows
        self._widths = printers.widths_of([self._heads(), *rows])
        return printers.table_text(rows, self._session.width)

    def line(self, tree: Tree) -> str:
        """Return one more row, under those that were printed."""
        return printers.row_text(self._row(tree), self._widths, self._session.width)

    def _heads(self) -> list[str]:
        heads = ["NAMESPACE"] if self._has_namespace else []
        heads += printers.heads_of(self._columns)
        return [*heads, "LABELS"] if self._has_labels else heads

    def _row(self, tree: Tree) -> list[str]:
        one = codec.from_tree(self._kind, tree, "Ignore").model
        row = [printers.safe(one.metadata.namespace)] if self._has_namespace else []
        cells = printers.cells_of(self._columns, one, self._session.now())
        if self._is_mixed:
            cells[0] = printers.name_of(self._kind, one.metadata.name)
        row += cells
        return [*row, printers.labels_cell(one)] if self._has_labels else row


def _watch(
    options: Namespace, session: Session, target: Target, namespace: str, query: dict[str, str]
) -> None:
    """Print what there is, and a line for every change, until interrupted."""
    if target.name:
        query = {"fieldSelector": f"metadata.name={target.name}"}
    table = Table(options, session, target.kind)
    is_table = options.output in ("", "wide")
    whole = printers.yaml_text if options.output == "yaml" else printers.json_text
    for first, trees in _followed(session, target.kind, namespace, query):
        if is_table and first:
            session.out.write(table.text(trees))
            session.out.flush()
            continue
        for tree in trees:
            if options.output == "name":
                session.say(printers.name_of(target.kind, tree["metadata"]["name"]))
            else:
                session.say(table.line(tree) if is_table else whole(tree).rstrip("\n"))


def _followed(
    session: Session, kind: type[Object], namespace: str, query: dict[str, str]
) -> Iterator[tuple[bool, list[Tree]]]:
    """Yield (True, all there is) once, then (False, what changed), for ever."""
    place = namespace if kind.resource.namespaced else ""
    items, revision = session.api.list(kind, place, query)
    yield True, items
    seen = {_version(tree) for tree in items}
    while True:
        try:
            for change in session.api.watch(kind, place, revision, query):
                revision = change.tree["metadata"]["resourceVersion"]
                if change.verdict != "BOOKMARK":
                    yield False, [change.tree]
        except Gone:
            # The history is gone: what is there now, less what was printed already.
            items, revision = session.api.list(kind, place, query)
            yield False, [tree for tree in items if _version(tree) not in seen]
            seen = {_version(tree) for tree in items}


def _version(tree: Tree) -> tuple[str, str]:
    return tree["metadata"].get("uid", ""), tree["metadata"].get("resourceVersion", "")


VERB = Verb("get", "show objects", configure, run)
