"""`cubectl top`: what nodes and pods use of processors and memory now."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cubectl.output.printers import safe, table_text
from cubectl.session import Failed, Misused, Session
from cubectl.verb import Verb, add_selection, selection_of
from cubernetes.api.notation.jsontext import Tree
from cubernetes.api.quantities import Quantity
from cubernetes.api.resource import Resource

PODS = Resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods")
NODES = Resource("metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", namespaced=False)
CORE_NODES = Resource("", "v1", "Node", "nodes", namespaced=False)
WORDS = {"pod": PODS, "pods": PODS, "po": PODS, "node": NODES, "nodes": NODES, "no": NODES}


class Used(NamedTuple):
    """What something uses, in thousandths of a core and bytes."""

    cpu_milli: int
    memory_bytes: int

    @property
    def cells(self) -> tuple[str, str]:
        return f"{self.cpu_milli}m", f"{self.memory_bytes // 2**20}Mi"


class Line(NamedTuple):
    """One line: heads are those of all lines of one answer."""

    names: tuple[str, ...]
    used: Used


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("of", choices=sorted(WORDS), metavar="pod | node")
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("--containers", action="store_true", help="pod: each container by itself")
    parser.add_argument("--sort-by", choices=("cpu", "memory"), help="the most first")
    parser.add_argument("--no-headers", action="store_true")
    add_selection(parser)


def run(options: Namespace, session: Session) -> None:
    kind = WORDS[options.of]
    if kind is NODES and (options.containers or options.all_namespaces):
        raise Misused("--containers and --all-namespaces: are for pods")
    if options.name and (options.selector or options.field_selector):
        raise Misused("a name and a selector: one of them says what is meant")
    trees = _trees(kind, options, session)
    if not trees:
        raise Failed("metrics not available yet, or nothing is there")
    if kind is NODES:
        heads, rows = _of_nodes(trees, options, session)
    else:
        heads, rows = _of_pods(trees, options)
    table = rows if options.no_headers else [heads, *rows]
    session.out.write(table_text([[safe(cell) for cell in row] for row in table], session.width))


def _trees(kind: Resource, options: Namespace, session: Session) -> list[Tree]:
    place = "" if options.all_namespaces or kind is NODES else session.namespace
    if options.name:
        return [session.api.get(kind, options.name, session.namespace)]
    return session.api.list(kind, place, selection_of(options)).items


def _of_pods(trees: Iterable[Tree], options: Namespace) -> tuple[list[str], list[list[str]]]:
    lines = []
    for tree in trees:
        meta = tree["metadata"]
        place = (str(meta.get("namespace", "")),) if options.all_namespaces else ()
        parts = [(str(one.get("name")), used(one)) for one in tree.get("containers") or ()]
        names = (*place, str(meta["name"]))
        if options.containers:
            lines += [Line((*names, name), part) for name, part in parts]
        else:
            cpu, held = (sum(one[index] for _, one in parts) for index in (0, 1))
            lines.append(Line(names, Used(cpu, held)))
    heads = ["NAMESPACE"] if options.all_namespaces else []
    heads += ["POD", "NAME"] if options.containers else ["NAME"]
    rows = [[*line.names, *line.used.cells] for line in in_order(lines, options.sort_by)]
    return [*heads, "CPU(cores)", "MEMORY(bytes)"], rows


def _of_nodes(
    trees: Iterable[Tree], options: Namespace, session: Session
) -> tuple[list[str], list[list[str]]]:
    nodes = session.api.list(CORE_NODES, "").items
    rooms = {str(one["metadata"]["name"]): _room(one) for one in nodes}
    lines = [Line((str(one["metadata"]["name"]),), used(one)) for one in trees]
    rows = []
    for line in in_order(lines, options.sort_by):
        room = rooms.get(line.names[0], Used(0, 0))
        cpu, held = line.used.cells
        shares = [_share(*pair) for pair in zip(line.used, room, strict=True)]
        rows.append([line.names[0], cpu, shares[0], held, shares[1]])
    return ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"], rows


def in_order(lines: Iterable[Line], by: str | None) -> list[Line]:
    """Return lines by what they use, the most first; else by their names."""
    column = {"cpu": 0, "memory": 1}
    if by is None:
        return sorted(lines)
    return sorted(lines, key=lambda line: (-line.used[column[by]], line.names))


def used(tree: Tree) -> Used:
    """Return what the usage of a node or a container says."""
    return _amounts(tree.get("usage") or {})


def _room(node: Tree) -> Used:
    return _amounts((node.get("status") or {}).get("allocatable") or {})


def _amounts(tree: Mapping[str, str]) -> Used:
    cpu, memory = (Quantity(tree.get(name, "0")) for name in ("cpu", "memory"))
    return Used(cpu.milli, memory.whole)


def _share(part: int, whole: int) -> str:
    return f"{part * 100 // whole}%" if whole else "<unknown>"


VERB = Verb(configure, run)
