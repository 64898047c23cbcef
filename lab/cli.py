"""The verbs of the lab: `cuberoot lab ...`, which is also `python -m lab ...`."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path

import click

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from lab.archive import NoImages
from lab.doctor import Complaint, Missing, complaints
from lab.host.engine import EngineTrouble
from lab.host.node import NodeTrouble
from lab.lab import IMAGES, Lab
from lab.net import is_reachable
from lab.state import InitKind, NoSuchLab, Size, lab_names
from lab.topology import BadTopology
from lab.wait import NeverCame

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
POWER_VERBS = ("on", "off", "cut", "reboot", "freeze", "thaw")
TROUBLE = (
    BadTopology,
    CommandFailed,
    EngineTrouble,
    Missing,
    NoImages,
    NeverCame,
    NodeTrouble,
    NoSuchLab,
    OSError,
)


class Bytes(click.ParamType[int]):
    """`3G`, `512M`: a number of bytes with a binary unit."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes that value means."""
        if isinstance(value, int):
            return value
        number, unit = str(value)[:-1], str(value)[-1:].upper()
        if unit not in UNITS or not number.isdigit() or int(number) == 0:
            self.fail(f"{value!r} is not a size such as 512M or 8G", param, ctx)
        return int(number) * UNITS[unit]


def effect[**P](work: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an asynchronous verb to its end; the world's troubles become one line and exit code 1."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            asyncio.run(work(*args, **kwargs))
        except* TROUBLE as group:
            raise click.ClickException(str(first_of(group))) from group

    return run


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, however deep."""
    error = group.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error


@click.group()
@click.option("--name", default="lab", show_default=True, help="One machine may hold several labs.")
@click.pass_context
def lab(context: click.Context, name: str) -> None:
    """Node hosts on this machine: real Docker, real packets, and every way to break them."""
    context.obj = name


@lab.command()
@click.option("--nodes", "node_count", default=3, show_default=True, help="1 to 9.")
@click.option(
    "--subnets",
    "subnet_count",
    default=1,
    show_default=True,
    help="With more than one, nodes are dealt out to them in turns, and a router is between.",
)
@click.option("--memory", type=Bytes(), default="3G", show_default=True, help="Of each node.")
@click.option("--disk", type=Bytes(), default="8G", show_default=True, help="Of each node; sparse.")
@click.option("--cpus", default=0.0, help="Quota of each node in cores; 0 is no limit.")
@click.option("--images", type=click.Path(path_type=Path, file_okay=False), default=IMAGES)
@click.option("--init", type=click.Choice(["own", "systemd"]), default="own", help="Their PID 1.")
@click.pass_obj
@effect
async def up(  # noqa: PLR0913  one option each
    name: str,
    node_count: int,
    subnet_count: int,
    memory: int,
    disk: int,
    cpus: float,
    images: Path,
    init: InitKind,
) -> None:
    """Boot the nodes that do not run yet; each ends with Docker and the images of --images."""
    size = Size(memory, disk, cpus)
    made = await Lab.up(
        name,
        node_count=node_count,
        subnet_count=subnet_count,
        size=size,
        images=images,
        init=init,
    )
    show(made)


@lab.command()
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
@effect
async def status(name: str, output: str) -> None:
    """Say what runs and what is broken."""
    found = Lab.open(name)
    if output == "table":
        show(found)
        return
    nodes = [{"name": n.name, "address": n.address, "power": n.power()} for n in found.nodes]
    click.echo(json.dumps({"name": name, "subnet": found.state.subnet, "nodes": nodes}))


def show(found: Lab) -> None:
    """Print the lab as a table."""
    click.echo(f"{'NODE':6}{'ADDRESS':16}{'POWER':8}PID")
    for node in found.nodes:
        power = node.power()
        pid = "-" if power == "off" else str(node.pid)
        mark = "" if is_reachable(node.name, found.state.faults) else "  (cut off)"
        click.echo(f"{node.name:6}{node.address:16}{power:8}{pid}{mark}")
    for fault in found.state.faults:
        click.echo(f"broken: {fault}")


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def ssh(name: str, node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in NODE as root, or a shell; its exit code is ours."""
    try:
        terminal = os.environ.get("TERM", "dumb")
        argv = Lab.open(name).node(node).command(command or ("bash", "-l"), terminal=terminal)
    except TROUBLE as error:
        raise click.ClickException(str(error)) from error
    os.execvp(argv[0], argv)  # noqa: S606  no shell: this process becomes the command


@lab.command()
@click.option("--keep-disks", is_flag=True, help="Power off in order, and keep the disk images.")
@click.pass_obj
@effect
async def down(name: str, keep_disks: bool) -> None:
    """Remove the lab and everything it made."""
    try:
        found = Lab.open(name)
    except NoSuchLab:
        click.echo(f"lab {name} is not up")
        return
    await found.down(keep_disks=keep_disks)


@lab.command(name="list")
def list_labs() -> None:
    """Name the labs of this machine."""
    for name in lab_names():
        click.echo(name)


@lab.command()
@click.argument("node")
@click.argument("verb", type=click.Choice(POWER_VERBS))
@click.pass_obj
@effect
async def power(name: str, node: str, verb: str) -> None:
    """Power NODE on or off, cut its power, reboot, freeze or thaw it."""
    await Lab.open(name).power(node, verb)


@lab.group()
def net() -> None:
    """Break and mend the network between nodes."""


@net.command()
@click.argument("source")
@click.argument("target")
@click.option("--oneway", is_flag=True, help="Only from SOURCE to TARGET.")
@click.pass_obj
@effect
async def cut(name: str, source: str, target: str, oneway: bool) -> None:
    """Cut SOURCE and TARGET off from each other."""
    await Lab.open(name).cut(source, target, one_way=oneway)


@net.command()
@click.argument("node")
@click.option("--cable", is_flag=True, help="Pull the cable: the node sees no carrier.")
@click.pass_obj
@effect
async def isolate(name: str, node: str, cable: bool) -> None:
    """Cut NODE off from everybody, silently unless --cable."""
    found = Lab.open(name)
    await (found.unplug(node) if cable else found.isolate(node))


@net.command()
@click.argument("percent", type=click.IntRange(0, 100))
@click.argument("node")
@click.pass_obj
@effect
async def loss(name: str, percent: int, node: str) -> None:
    """Lose PERCENT of the frames to and from NODE."""
    await Lab.open(name).loss(node, percent)


@net.command()
@click.pass_obj
@effect
async def heal(name: str) -> None:
    """Mend every network fault of the lab."""
    await Lab.open(name).heal()


@lab.command()
@click.argument("node")
@click.argument("verb", type=click.Choice(["fill", "free"]))
@click.pass_obj
def disk(name: str, node: str, verb: str) -> None:
    """Fill NODE's disk to the last block, or free it again."""
    try:
        found = Lab.open(name)
        if verb == "free":
            found.free_disk(node)
        else:
            click.echo(f"took {found.fill_disk(node) >> 20} MiB")
    except TROUBLE as error:
        raise click.ClickException(str(error)) from error


@lab.command()
def doctor() -> None:
    """Say what this machine lacks to hold a lab, and how to get it."""
    missing: list[Complaint] = asyncio.run(complaints(Env().commands))
    for complaint in missing:
        click.echo(f"missing: {complaint.what}: {complaint.remedy}")
    if missing:
        raise SystemExit(1)
    click.echo("this machine can hold a lab")
