"""The map of the house: every folder, and on demand every file, each with its own sentence.

docs/ARCHITECTURE.md shows the rooms of the first floor; test_map.py compares. `scripts/map` writes
them there and prints the whole map, folders and files, which would be too much for a page.
"""

import sys
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import PurePosixPath

from tests.house.sources import GENERATED, ROOT, Source, files, sources
from tests.house.test_layers import is_pure

PAPER = ROOT / "docs" / "ARCHITECTURE.md"
BEGIN, END = "<!-- the map: written by scripts/map -->\n", "<!-- the end of the map -->\n"
# From the entrance upwards, as the page tells of the floors.
ORDER = (
    "cubernetes",
    "apiserver",
    "scheduler",
    "controllers",
    "kubelet",
    "proxy",
    "gateway",
    "resolver",
    "serverless",
    "gpu",
    "cubectl",
    "cuberoot",
    "lab",
    "tsdb",
    "images",
    "examples",
    "docs",
    "scripts",
    ".ci",
    "bench",
    "tests",
)
# What folders say of themselves that have no `__init__.py` to say it.
SIGNS = {
    ".ci": "What a machine runs on every change.",
    "bench": "How fast it is: one command each, figures as JSON.",
    "bench/ground": "What the benches share: servers and labs to measure, loads, reports.",
    "bench/scale": "What the API server costs by how much it holds.",
    "bench/tsdb": "The time-series store against its peers.",
    "docs": "Papers: this map, the style, and why hard choices were made as they were.",
    "docs/decisions": "One page for each choice that was hard; superseded pages stay, marked.",
    "examples": "Manifests to try, each tested.",
    "examples/gpu/add": "Two vectors, an element for each GPU thread.",
    "examples/gpu/blas": "Two matrices by cuBLAS, where the CUDA toolkit is.",
    "examples/gpu/mult": "Two matrices, by tiles that GPU threads share.",
    "examples/nodes": "What a machine says of itself when it becomes a node.",
    "examples/services": "Every door of a service, in one file.",
    "examples/tour": "What the tour shows, one file a stop.",
    "images": "The images of the tour and the tests, built from scratch without a daemon.",
    "images/pause": "The image that holds a pod's namespaces.",
    "images/stress": "The image that keeps cores and memory busy.",
    "images/web": "The image of a web server that names its pod.",
    "scripts": "The few verbs, each repeatable and a few lines long.",
    "tests": "Worlds and builders that tests share, beside the kinds of test.",
    "tests/contract": "One suite for all answers to an interface, the fake and the real ones.",
    "tests/contract/api": "The API server on a memory store: worlds that the rooms below share.",
    "tests/contract/api/streams": "What goes through the server to a kubelet, and back.",
    "tests/contract/functions": "Functions, triggers and the bus: in memory and real Kafka.",
    "tests/contract/gateway": "The gateway's drivers before the servers that they drive.",
    "tests/contract/gpu": "Sites of GPU jobs, and the program that queues for them.",
    "tests/contract/network": "Network drivers and the guard, between namespaces.",
    "tests/contract/proxy": "Backends of the service proxy, by real packets.",
    "tests/contract/runtime": "Runtime drivers: the fake, and a real Docker engine.",
    "tests/contract/store": "Stores of the API server: in memory, and a real etcd.",
    "tests/contract/tsdb": "What the store promises, shown at length on real files.",
    "tests/contract/workloads": "Controllers against a real API server and a tiny kubelet.",
    "tests/e2e": "Real machines, real Docker, real packets; needs root.",
    "tests/house": "The rules of the house.",
    "tests/simulation": "The control plane in one process, on a clock and with faults from a seed.",
    "tests/runs": "Programs behind scripts/test and scripts/mutate.",
    "tests/simulation/judges": "What may never be in a simulated cluster; what must be at its end.",
    "tests/unit": "One folder per room; laws before cases.",
}


@cache
def by_path() -> dict[str, Source]:
    return {one.path: one for one in sources()}


def shown() -> list[PurePosixPath]:
    """Return the files that the map shows: not tests, whose names are sentences, nor papers'."""
    return [
        path
        for path in map(PurePosixPath, files())
        if len(path.parts) > 1
        and not path.name.startswith(("test_", "__init__"))
        and str(path) not in GENERATED
        and path.parts[:2] != ("tests", "unit")
        and path.suffix not in {".pyi", ".proto", ".json", ".conflist"}
        and (path.parts[0] != "tests" or path.suffix == ".py")
    ]


def sentence(path: PurePosixPath) -> str:
    """Return what a file says of itself first: a docstring, a comment or a title."""
    if source := by_path().get(str(path)):
        return source.docstring.split("\n")[0].removesuffix(" Pure.")
    said = [line for line in (ROOT / path).read_text().split("\n") if not line.startswith("#!")]
    if path.suffix == ".md":
        return said[0].lstrip("# ")
    comment = takewhile(lambda line: line.startswith(("#", "/*", " *", "<!--")), said)
    whole = " ".join(line.strip("#/*<!-> ") for line in comment)
    return whole.partition(". ")[0].rstrip(".") + "." if whole else ""


def folders() -> list[str]:
    found = {str(path.parent) for path in shown()} | {"tests/unit"}
    # Folders that hold only folders are rooms, too.
    found |= {folder.partition("/")[0] for folder in found}
    return sorted(found, key=lambda each: (ORDER.index(each.partition("/")[0]), each))


def sign_of(folder: str) -> str:
    door = by_path().get(f"{folder}/__init__.py")
    return SIGNS.get(folder) or (door.docstring.split("\n")[0] if door else "")


def folder_lines() -> Iterator[str]:
    """Yield the part of the map that docs/ARCHITECTURE.md shows."""
    for folder in folders():
        if "/" not in folder:
            yield f"- `{folder}/` {sign_of(folder)}".rstrip()


def lines() -> Iterator[str]:
    """Yield the whole map."""
    for folder in folders():
        yield f"\n{folder}/  {sign_of(folder)}"
        for path in shown():
            if str(path.parent) == folder:
                source = by_path().get(str(path))
                star = "*" if source and is_pure(source) else ""
                name = path.stem if path.suffix == ".py" else path.name
                yield f"  {name}{star}  {sentence(path)}".rstrip()


def text() -> str:
    return "\n".join(folder_lines()) + "\n"


def halves() -> tuple[str, str, str]:
    """Return the page before the map, the map as it stands there, and the page behind it."""
    page = PAPER.read_text()
    before, _, rest = page.partition(BEGIN)
    drawn, _, behind = rest.partition(END)
    return before, drawn, behind


if __name__ == "__main__":
    before, _, behind = halves()
    PAPER.write_text(f"{before}{BEGIN}{text()}{END}{behind}")
    sys.stdout.write("\n".join(lines()).strip("\n") + "\n")
