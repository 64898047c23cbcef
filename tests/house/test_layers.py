"""The contracts of .importlinter, each as a test; what escapes them; and what a program loads."""

import ast
import sys
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from fnmatch import fnmatchcase
from functools import cache

import pytest
from importlinter import Contract, ContractCheck
from importlinter.application import use_cases
from importlinter.application.output import console
from importlinter.configuration import configure
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract
from importlinter.domain.contract import registry

from cubernetes.api.registry import KINDS
from tests.house.sources import ROOMS, ROOT, Source, none, of_rooms

CONFIG = ROOT / ".importlinter"
CONTRACT = "importlinter:contract:"
# How many modules of ours a program may load, and all packages of others that it may.
# A hundred of ours are about 3 MiB and a tenth of a second of each start. It is read from the
# files, not measured: the same on every machine and Python.
DAEMON = "aiohttp msgspec multidict prometheus_client re2 uvloop"
LOADS: dict[str, tuple[int, str]] = {
    "apiserver": (410, f"{DAEMON} cryptography yaml yarl"),
    "controllers": (345, DAEMON),
    "cubectl": (5, ""),
    "cuberoot": (250, "aiohttp click cryptography msgspec prometheus_client re2 yaml yarl"),
    "gateway": (180, f"{DAEMON} cryptography"),
    "gpu": (170, f"{DAEMON} asyncssh"),
    "kubelet": (375, f"{DAEMON} pyroute2"),
    "kubelet.weave": (130, "msgspec prometheus_client pyroute2 re2"),
    "lab": (40, "click msgspec prometheus_client"),
    "proxy": (180, DAEMON),
    "resolver": (170, DAEMON),
    "scheduler": (185, DAEMON),
    "serverless": (210, f"{DAEMON} confluent_kafka"),
    "serverless.broker": (120, "msgspec prometheus_client re2 uvloop"),
    "serverless.runtime": (12, ""),
    "tsdb": (130, f"{DAEMON} cramjam numpy pcodec zstandard"),
}


@cache
def config() -> ConfigParser:
    found = ConfigParser()
    found.read(CONFIG)
    return found


@cache
def lines(section: str, key: str) -> list[str]:
    text = config()[section].get(key, "")
    return [line for line in text.split("\n") if line and not line.startswith("#")]


CONTRACTS = [name for name in config().sections() if name.startswith(CONTRACT)]


@cache
def verdicts() -> dict[str, tuple[Contract, ContractCheck]]:
    """Return every contract by its name, with what became of it."""
    configure()
    for kind in (
        AcyclicSiblingsContract,
        ForbiddenContract,
        LayersContract,
        ProtectedContract,
    ):
        registry.register(kind, kind.type_name)
    report = use_cases.create_report(use_cases.read_user_options(str(CONFIG)), cache_dir=None)
    return {one.name: (one, check) for one, check in report.get_contracts_and_checks()}


@pytest.mark.parametrize("section", CONTRACTS, ids=lambda name: name.removeprefix(CONTRACT))
def test_a_contract_is_kept(section: str) -> None:
    contract, check = verdicts()[config()[section]["name"]]
    if not check.kept:
        with console.capture() as said:
            contract.render_broken_contract(check)
        pytest.fail(f"{contract.name}\n{said.get()}", pytrace=False)


def test_every_room_is_under_contract() -> None:
    assert set(lines("importlinter", "root_packages")) == set(ROOMS)


def test_every_group_of_kinds_is_closed_to_the_generic_modules_of_the_api_server() -> None:
    groups = {kind.__module__.rpartition(".")[0] for kind in KINDS}
    contract = f"{CONTRACT}strategies"
    unlisted = groups - set(lines(contract, "forbidden_modules"))
    none(sorted(unlisted), f"list it in .importlinter under [{contract}]")


def is_pure(one: Source) -> bool:
    """Whether the contract of purity covers a module, as a decider and not as a room's shell."""
    expressions = lines(f"{CONTRACT}pure", "source_modules")
    shells = {
        line.partition(" ->")[0]
        for line in lines(f"{CONTRACT}pure", "ignore_imports")
        if line.endswith("-> **")
    }
    return one.module not in shells and any(
        fnmatchcase(one.module, expression.replace("**", "*"))
        or one.module.startswith(f"{expression}.")
        for expression in expressions
    )


def test_who_claims_to_be_pure_is_under_the_contract() -> None:
    """`Pure.` in the first lines of a module is a promise: a machine keeps it."""
    claim = "Pure."
    unkept = [
        one.path
        for one in of_rooms()
        if claim in one.docstring.split("\n\n")[0] and not is_pure(one)
    ]
    none(unkept, f"list it in .importlinter under [{CONTRACT}pure], or mend the claim")


@cache
def modules() -> dict[str, Source]:
    return {one.module: one for one in of_rooms()}


def run_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that an import runs: no function's, and none for a type checker."""
    for one in body:
        yield one
        if isinstance(one, ast.If) and ast.unparse(one.test).endswith("TYPE_CHECKING"):
            yield from run_at_import(one.orelse)
        elif not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "handlers", "finalbody"):
                yield from run_at_import(getattr(one, field, ()))


def imported(source: Source) -> Iterator[str]:
    """Yield the dotted names that an import of this module imports; some are no modules."""
    for one in run_at_import(source.tree.body):
        if isinstance(one, ast.Import):
            yield from (each.name for each in one.names)
        elif isinstance(one, ast.ImportFrom) and one.module:
            yield one.module
            yield from (f"{one.module}.{each.name}" for each in one.names)


def loaded(begin: str) -> tuple[set[str], set[str]]:
    """Return the modules of ours that begin loads, itself among them, and others' packages."""
    ours: set[str] = set()
    others: set[str] = set()
    waiting = [begin]
    while waiting:
        name = waiting.pop()
        top, _, rest = name.partition(".")
        if top not in ROOMS:
            others |= {top} - sys.stdlib_module_names
        elif name not in ours:
            if rest:
                waiting.append(name.rpartition(".")[0])
            if name in modules():
                ours.add(name)
                waiting.extend(imported(modules()[name]))
    return ours, others


@pytest.mark.parametrize("program", LOADS)
def test_a_program_loads_no_more_than_it_may(program: str) -> None:
    most, packages = LOADS[program]

    ours, others = loaded(f"{program}.__main__")

    assert f"{program}.__main__" in ours
    assert others - set(packages.split()) == set()
    assert len(ours) <= most, f"{len(ours)}: load later what a start does not need, or say why here"


def test_every_program_has_its_limit() -> None:
    programs = {name.removesuffix(".__main__") for name in modules() if name.endswith("__main__")}
    assert set(LOADS) == programs
