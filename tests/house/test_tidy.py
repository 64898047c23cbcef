"""Rules of the house that a linter does not know; a failure names the place and the way out."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import PurePosixPath

import pytest

from tests.house.sources import GENERATED, ROOMS, ROOT, Source, files, none, of_rooms, sources

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
FLAT_MODULES_MAX = 15
# Functions that were too long when the rule came. A ratchet: entries shrink or go, none is added.
LONG_FUNCTIONS: dict[str, int] = {}

# Kubernetes' name of the group without a name.
GROUP_CORE = ("cubernetes/api/core/", "tests/unit/api/core/")
SUBJECTLESS = frozenset(
    {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager", "handler"}
    | {"processor", "data", "info"}
)

# Who may ask the machine instead of the environment that it is given (cubernetes.host.env.Env).
GROUND = "cubernetes/host/"
ASKS_THE_MACHINE = {
    "datetime.datetime.now": "env.clock.now()",
    "datetime.datetime.utcnow": "env.clock.now()",
    "datetime.datetime.today": "env.clock.now()",
    "datetime.date.today": "env.clock.now()",
    "time.time": "env.clock.now()",
    "time.monotonic": "env.clock.monotonic()",
    "time.perf_counter": "env.clock.monotonic()",
    "time.sleep": "env.clock.sleep()",
    "asyncio.sleep": "env.clock.sleep()",
    "uuid.uuid1": "env.rng",
    "uuid.uuid4": "env.rng",
    "os.urandom": "env.rng",
    "random.": "env.rng",
    "secrets.": "env.rng",
}
# Where there is no environment, or the machine itself is the subject; each with its reason.
MAY_ASK_THE_MACHINE = {
    "gpu/sites/slurm/cubeframe.py": "on a node of a Slurm site there is nothing of ours",
    "gpu/sites/slurm/cubesite.py": "on a node of a Slurm site there is nothing of ours",
    "lab/host/root.py": "the id of a machine that is being made; no simulation makes machines",
    "serverless/runtime/door.py": "in a function's container there is nothing of ours",
    "serverless/runtime/wire.py": "in a function's container there is nothing of ours",
    "serverless/runtime/zygote.py": "in a function's container there is nothing of ours",
}

# Who writes to a terminal.
SPEAKERS = ("cubectl/", "cuberoot/", "bench/", "images/", "tests/e2e/")
# Run by name (`python -m ...`, a console script), so that nobody needs to import them.
ENTRANCES = frozenset({"__main__", "__init__", "conftest"})

PLACES = re.compile(r"(?<![\w.])/(?:(?:home|Users|work)/\w|root/\.)[\w/.-]*")
ISSUE = re.compile(r"\((?:#\d+)\)")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
EXCUSE = re.compile(r"#\s*(?:noqa|type: ignore)\b:?\s*([A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\[[\w, -]+\]|)")
# An argument that an interface asks for and one answer to it does not need.
SELF_EVIDENT = ("ARG001", "ARG002")
REASON_CHARACTERS_MIN = 5


def functions(source: Source) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{source.path}:{node.name}", node


def test_a_function_fits_on_a_screen() -> None:
    found = {}
    for one in sources():
        for name, node in functions(one):
            line_count = (node.end_lineno or node.lineno) - node.lineno + 1
            if line_count > FUNCTION_LINES_MAX:
                found[name] = line_count
    assert found == LONG_FUNCTIONS, "split the new ones; correct the entries of those that shrank"


def test_a_file_has_one_subject() -> None:
    long = [one.path for one in sources() if len(one.lines) > FILE_LINES_MAX]
    none(long, f"over {FILE_LINES_MAX} lines: find the second subject and move it out")


def test_every_module_says_what_it_is_for() -> None:
    silent = [one.path for one in sources() if not one.docstring]
    none(silent, "begin the file with a sentence in quotes")


def test_a_room_s_door_holds_only_its_sign() -> None:
    """An import there would make the whole room depend on it, and break what is pure."""
    crowded = [one.path for one in sources() if one.stem == "__init__" and len(one.tree.body) > 1]
    none(crowded, "__init__.py holds one docstring: what the room is for, what it refuses")


def test_every_folder_of_a_room_has_a_door() -> None:
    """A folder without `__init__.py` would be a room without a sign, and mypy's guess."""
    have = {one.path for one in of_rooms()}
    folders = {str(PurePosixPath(path).parent) for path in have}
    none(
        sorted(each for each in folders if f"{each}/__init__.py" not in have),
        "write its __init__.py: one docstring",
    )


def test_a_folder_holds_few_modules() -> None:
    """More than what a reader can keep in mind at once is cut into folders by subject."""
    flat = Counter(
        str(PurePosixPath(one.path).parent) for one in sources() if one.stem != "__init__"
    )
    crowded = [f"{folder}: {count}" for folder, count in flat.items() if count > FLAT_MODULES_MAX]
    none(crowded, f"more than {FLAT_MODULES_MAX} modules side by side: cut it by subject")


def test_a_file_is_named_after_its_subject() -> None:
    vague = [
        one.path
        for one in sources()
        if SUBJECTLESS & {word for part in PurePosixPath(one.path).with_suffix("").parts
                          for word in part.lower().split("_")}
        and not one.path.startswith(GROUP_CORE)
    ]  # fmt: skip
    none(vague, "such a name says that the file has no subject yet")


def test_only_tools_for_people_print() -> None:
    loud = [
        f"{one.path}:{call.lineno}"
        for one in sources()
        for name, call in one.calls()
        if name == "print" and not one.path.startswith(SPEAKERS)
    ]
    none(loud, "programs log: a constant sentence and its facts")


def asks_the_machine(source: Source) -> Iterator[tuple[int, str, str]]:
    """Yield where a file asks the machine: the line, the call, what to take instead."""
    for name, call in source.calls():
        # sleep(0) lets others run and waits for no time.
        first = call.args[0] if call.args else None
        if name == "asyncio.sleep" and isinstance(first, ast.Constant) and first.value == 0:
            continue
        for banned, instead in ASKS_THE_MACHINE.items():
            if name == banned or (banned.endswith(".") and name.startswith(banned)):
                yield call.lineno, name, instead


def test_time_and_chance_are_arguments() -> None:
    found = [
        f"{one.path}:{line}: {name}; take {instead}"
        for one in of_rooms()
        for line, name, instead in asks_the_machine(one)
        if not one.path.startswith(GROUND) and one.path not in MAY_ASK_THE_MACHINE
    ]
    none(found, "a simulation must be able to replay this")


def test_nobody_is_excused_who_needs_no_excuse() -> None:
    asking = {one.path for one in of_rooms() if any(asks_the_machine(one))}
    none(sorted(MAY_ASK_THE_MACHINE.keys() - asking), "take them out of MAY_ASK_THE_MACHINE")


def test_no_command_passes_through_a_shell() -> None:
    found = []
    for one in sources():
        for name, call in one.calls():
            is_shell = any(
                word.arg == "shell"
                and not (isinstance(word.value, ast.Constant) and word.value.value is False)
                for word in call.keywords
            )
            if is_shell or name in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}:
                found.append(f"{one.path}:{call.lineno}: {name}")
    none(found, "commands are lists of words")


def test_an_excuse_gives_its_reason() -> None:
    """`# noqa: BLE001  why`: the rule was understood, and the place is special."""
    bare = [
        f"{one.path}:{number}: {line.strip()}"
        for one in of_rooms()
        for number, line in enumerate(one.lines, 1)
        if (excuse := EXCUSE.search(line))
        and not excuse[1].startswith(SELF_EVIDENT)
        and len(line[excuse.end() :].strip(" #")) < REASON_CHARACTERS_MIN
        # A reason may also stand above, as a comment or with the same excuse.
        and not re.match(rf"\s*#|.*{re.escape(excuse[1])}  \w", one.lines[number - 2])
    ]
    none(bare, "write the reason behind it")


def test_nothing_is_left_for_later_without_an_issue() -> None:
    found = [
        f"{one.path}:{number}: {line.strip()}"
        for one in sources()
        for number, line in enumerate(one.lines, 1)
        if one.room != "tests" and UNFINISHED.search(line) and not ISSUE.search(line)
    ]
    none(found, "finish it, or name the issue: TODO(#12)")


def test_every_module_is_used() -> None:
    imported = set()
    for one in sources():
        for meaning in one.imports.values():
            # `from a.b import c`: c is a module, or a name in one.
            imported |= {meaning, meaning.rpartition(".")[0]}
        for node in one.nodes:
            # `import a.b.c` binds only a.
            if isinstance(node, ast.Import):
                imported |= {each.name for each in node.names}
    idle = [
        one.path
        for one in sources()
        if one.module not in imported and one.stem not in ENTRANCES and not is_entrance(one)
    ]
    none(idle, "nobody imports it: use it or remove it")


def is_entrance(one: Source) -> bool:
    is_test = one.room == "tests" and one.stem.startswith("test_")
    return is_test or 'if __name__ == "__main__"' in one.text or one.path in {"images/build.py"}


def test_every_name_is_used() -> None:
    """A function, class or constant that nobody mentions is a promise that nobody needs."""
    mentioned: Counter[str] = Counter(re.findall(r"\w+", (ROOT / "pyproject.toml").read_text()))
    for one in sources():
        mentioned.update(re.findall(r"\w+", one.text))
    idle = [
        f"{one.path}:{line}: {name}"
        for one in of_rooms()
        for name, line in names_made(one)
        if mentioned[name] == 1
    ]
    none(idle, "nobody mentions it: use it or remove it")


def names_made(source: Source) -> Iterator[tuple[str, int]]:
    """Yield the names that a module makes for others; a decorator has a use for what it takes."""
    for node in source.tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if not node.decorator_list or isinstance(node, ast.ClassDef):
                    yield node.name, node.lineno
            case ast.Assign(targets=[ast.Name(id=name)]) if not name.startswith("__"):
                yield name, node.lineno
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node.lineno


def test_nothing_names_a_machine_it_was_written_on() -> None:
    found = []
    for path in files():
        if path.endswith((".py", ".md", ".toml", ".yaml", ".ini", ".c")) or "/" not in path:
            text = (ROOT / path).read_text(errors="replace")
            found += [f"{path}: {match}" for match in sorted(set(PLACES.findall(text)))]
    none(found, "write a path that any machine has")


def test_no_two_test_files_of_a_kind_have_one_name() -> None:
    """So that a failure's file name alone says which subject it is about."""
    places = [PurePosixPath(one.path) for one in sources() if one.stem.startswith("test_")]
    names = Counter(f"{place.parts[1]}: {place.stem}" for place in places)
    none(sorted(name for name, count in names.items() if count > 1), "name it after its room, too")


def test_nobody_else_s_package_has_a_room_s_name() -> None:
    """Whoever installs a distribution called `scheduler` would import that one, or ours."""
    taken = [
        f"{room} is also in {owners}"
        for room, owners in packages_distributions().items()
        if room in ROOMS and set(owners) != {"cubernetes"}
    ]
    none(taken, "rename the room, or do without the distribution")


def test_what_is_generated_is_there() -> None:
    none(
        sorted(path for path in GENERATED if not (ROOT / path).is_file()),
        "run scripts/generate-etcd-messages, or correct GENERATED",
    )


@pytest.mark.parametrize(
    "program",
    ["apiserver", "scheduler", "controllers", "kubelet", "proxy", "resolver", "serverless", "gpu"],
)
def test_every_daemon_has_the_same_door(program: str) -> None:
    """From `__main__` to the decision in three steps, in every program the same ones."""
    for name in ("__main__", "settings"):
        assert (ROOT / program / f"{name}.py").is_file(), f"{program}/{name}.py"


def test_a_sentence_has_a_subject() -> None:
    """`whoever` names nobody: a client, a reader, a caller, a program does what is said."""
    found = [
        f"{one.path}:{number}"
        for one in of_rooms()
        for number, line in enumerate(one.lines, 1)
        if re.search(r"\b[Ww]hoever\b", line)
    ]
    none(found, "name the subject: a client, a reader, a caller, a program (docs/STYLE.md)")


def test_a_limit_ends_in_one_word() -> None:
    """`_MAX`, with the unit before or after it: a search for one suffix finds every limit."""
    others = [
        f"{one.path}: {found}"
        for one in sources()
        for found in re.findall(r"^([A-Z_]+_LIMIT(?:_[A-Z]+)?)(?=[ :,])", one.text, re.MULTILINE)
        if found != "NO_LIMIT"
    ]
    none(others, "a constant that bounds something is called _MAX")
