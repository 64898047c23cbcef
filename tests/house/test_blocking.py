"""No program's loop calls what may block: that is given to Blocking.run, by its name."""

import ast

from tests.house.callgraph import Graph, functions, functions_of, graph
from tests.house.sources import Source, none

KERNEL = "a namespace's file or a sysctl, which the kernel keeps itself"
STARTS = "once, before the program has anything else to do"
EXCUSED = {
    "apiserver.http.app.App.start": STARTS,
    "apiserver.run.run": STARTS,
    "apiserver.storage.etcd.store.connect": STARTS,
    "controllers.run.run": STARTS,
    "cubernetes.host.command.SystemCommands.run": "a program's begin, as the loops' own ways do",
    "kubelet.run.run": STARTS,
    "proxy.run.run": STARTS,
    "resolver.run.run": STARTS,
    "scheduler.run.run": STARTS,
    "kubelet.logserver.serve": STARTS,
    "kubelet.network.carriers.routes.Routes.mend": KERNEL,
    "kubelet.network.carriers.routes.Routes.prepare": KERNEL,
    "kubelet.network.routed.RoutedNetwork.attach": KERNEL,
    "kubelet.network.routed.RoutedNetwork.reset": "by kubelet.reset, which has nothing else to do",
}


def found() -> dict[str, list[str]]:
    known = graph()
    reasons = ((one.name, sorted(set(known.reasons(one)))) for one in functions() if one.is_async)
    return {name: whys for name, whys in reasons if whys}


def test_no_coroutine_calls_what_may_block() -> None:
    guilty = [
        f"{name} calls {', '.join(whys)}" for name, whys in found().items() if name not in EXCUSED
    ]
    none(guilty, "await env.blocking.run(key, partial(work, ...)): a thread, a key, a deadline")


def test_every_excuse_is_still_needed() -> None:
    none(sorted(EXCUSED.keys() - found().keys()), "this blocks no more: take its excuse away")


PROGRAM = """
import os
from functools import partial
from pathlib import Path
from cubernetes.host.durable.files import write_atomic

class Disk:
    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        self._write()

    def _write(self) -> None:
        write_atomic(self._path, b"")

class Worker:
    async def direct(self, path):
        return path.read_text()

    async def by_name(self):
        os.stat("/")

    async def through_two(self, disk):
        disk.keep()

    async def as_callback(self, loop, disk):
        loop.call_soon(disk.keep)

    async def with_a_block(self, path):
        with open(path) as file:
            return file

    async def aside(self, blocking, path, disk):
        await blocking.run(("a", "b"), disk.keep)
        await blocking.run(("a", "b"), partial(write_atomic, path))
        await blocking.run(("a", "b"), lambda: path.read_text())

        def work():
            return path.read_text()

        await blocking.run(("a", "b"), work)

    async def words_of_others(self, transport, text, other):
        await transport.open(text.replace("a", "b"))
        await other.keep()
"""


def test_the_rule_sees_calls_blocks_and_callbacks_and_lets_go_what_is_handed_over() -> None:
    source = Source("kubelet/example.py", PROGRAM)
    ground = [one for one in functions() if one.source.path == "cubernetes/host/durable/files.py"]
    own = list(functions_of(source))
    known = Graph((*ground, *own))
    blocked = {one.node.name for one in own if one.is_async and any(known.reasons(one))}
    assert blocked == {"direct", "by_name", "through_two", "as_callback", "with_a_block"}
    assert isinstance(source.tree, ast.Module)
