"""The contracts of .importlinter, each as a test; and that nothing escapes them."""

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
