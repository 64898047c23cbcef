"""`cuberoot enable` and `disable`: optional programs, with those that they bring along."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from cubernetes.api.coding.refusals import invalid
from cubernetes.api.errors import Problem
from cubernetes.host.env import Env
from cubernetes.host.settings import SettingsInvalid, read_settings
from cuberoot import apply
from cuberoot.apply import Programs, Say
from cuberoot.cluster import Cluster
from cuberoot.host.facts import facts_of_this_machine
from cuberoot.host.journal import Journal
from cuberoot.node import NotFit, own_cluster, renewed_in_time
from cuberoot.plan import lacks_of_kafka, lacks_of_ports
from cuberoot.program import Program
from cuberoot.registry import optional_program, with_enabled
from tsdb.settings import Chosen

BROKERS_MAX = 20
BROKER = re.compile(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}\Z")
KAFKA = "kafka"
TSDB = "tsdb"


class Choice(NamedTuple):
    """What may be chosen of an optional program.

    Which broker is to keep calls that must survive: others', none, or (neither) our own.
    """

    brokers: str = ""
    is_without: bool = False
    # Of the time-series store: its file of settings.
    settings_file: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in map(str.strip, self.brokers.split(",")) if name)


async def enable(name: str, choice: Choice, env: Env, say: Say) -> None:
    """Have this node run an optional program; what an interrupted run has left is finished.

    Raises: UnknownProgram; Invalid; NotFit: its port is another's, or what it needs is missing.
    """
    cluster = own_cluster()
    program = optional_program(name, cluster.role)
    if problems := [*_problems(choice, program, cluster)]:
        raise invalid("Program", name, problems)
    wanted = _wanted(cluster, program, choice)
    names = [one for one in wanted.enabled if one not in cluster.enabled]
    if names:
        new = [optional_program(one, cluster.role) for one in names]
        ports = tuple(port.number for one in new for port in one.ports)
        facts = await facts_of_this_machine(env, ports)
        is_own = KAFKA in names
        if lacks := [*lacks_of_ports(facts), *(lacks_of_kafka(facts) if is_own else [])]:
            raise NotFit(lacks)
    journal = Journal()
    apply.write_node(wanted, journal)
    await renewed_in_time(wanted, env, say)
    await Programs(wanted, env, say).start()
    say(f"{name} is enabled")
    if KAFKA in names:
        say("note: one broker, so calls that it has are lost with its disk; --brokers: several")


def _wanted(cluster: Cluster, program: Program, choice: Choice) -> Cluster:
    """Return the node's file with a program, and with those that it brings along."""
    brokers = choice.names or cluster.brokers
    is_alone = bool(brokers) or choice.is_without
    names = (program.name, *(() if is_alone else program.companions))
    enabled = with_enabled(cluster.enabled, names, is_enabled=True)
    chosen = _chosen(choice.settings_file) if choice.settings_file else cluster.tsdb
    return msgspec.structs.replace(cluster, enabled=enabled, brokers=brokers, tsdb=chosen)


def _chosen(file: str) -> Chosen:
    try:
        return read_settings(Chosen, Path(file))
    except SettingsInvalid as error:
        raise invalid("Program", TSDB, [Problem("--settings", str(error))]) from error


def _problems(choice: Choice, program: Program, cluster: Cluster) -> Iterator[Problem]:
    if choice.settings_file and program.name != TSDB:
        yield Problem("--settings", f"{program.name} has no file of settings: tsdb does")
    yield from _broker_problems(choice, program, cluster)


def _broker_problems(choice: Choice, program: Program, cluster: Cluster) -> Iterator[Problem]:
    names = choice.names
    if (names or choice.is_without) and KAFKA not in program.companions:
        yield Problem("--brokers", f"{program.name} uses no broker: serverless does")
    if names and choice.is_without:
        yield Problem("--brokers", "must not be given with --without-broker")
    if (names or choice.is_without) and KAFKA in cluster.enabled:
        told = "our own broker has the calls: cuberoot disable serverless first removes them"
        yield Problem("--brokers", told)
    if choice.is_without and cluster.brokers:
        told = f"it uses {','.join(cluster.brokers)}: cuberoot disable serverless first"
        yield Problem("--without-broker", told)
    if len(names) > BROKERS_MAX:
        yield Problem("--brokers", f"too many: {len(names)}, at most {BROKERS_MAX}")
    for name in names:
        if BROKER.match(name) is None or not 0 < int(name.rpartition(":")[2]) < 65_536:
            yield Problem("--brokers", f"must be HOST:PORT with commas between, not {name[:80]!r}")


async def disable(name: str, env: Env, say: Say) -> None:
    """Have this node not run an optional program any more, nor those that came with it.

    What it has stored stays until the node is reset, so that it goes on where it is enabled again;
    what it has made to run beside it (containers, rules) does not, nor do a broker's records.

    Raises: UnknownProgram; NotClean: what it made is still there, and it is still enabled.
    """
    cluster = own_cluster()
    program = optional_program(name, cluster.role)
    journal = Journal()
    every = (program, *(optional_program(one, cluster.role) for one in program.companions))
    for one in every:
        if one.name in cluster.enabled:
            await Programs(cluster, env, say).retire(one)
            await apply.clean_program(one, cluster, env, say)
        apply.remove_program(one, journal)
    names = [one.name for one in every]
    enabled = with_enabled(cluster.enabled, names, is_enabled=False)
    brokers = () if KAFKA in names else cluster.brokers
    wanted = msgspec.structs.replace(cluster, enabled=enabled, brokers=brokers)
    apply.write_node(wanted, journal)
    await Programs(wanted, env, say).refresh()
    say(f"{name} is disabled")
