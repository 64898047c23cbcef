"""Calls CNI plugins: ADD down a chain, DEL up it, each with a deadline and its own words."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from cubernetes.host.blocking import Blocking
from cubernetes.host.cni.conflist import PATHS, Conflist, Tree, request_for
from cubernetes.host.cni.results import (
    SAID_CHARS_MAX,
    NotAResult,
    Result,
    error_in,
    result_of,
    versions_in,
)
from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.log import Log

log = Log(__name__)

DEADLINE_S = 30.0  # of one call of one plugin
QUICK_S = 10.0  # of one that only looks
FIND = ("cni", "find")


class PluginFailed(Exception):
    """A plugin could not be called, or did not do it: which, what it was asked, its own words.

    is_its_word: the plugin itself said that it failed, by the form of the specification.
    """

    def __init__(self, plugin: str, command: str, words: str, *, is_its_word: bool = False) -> None:
        super().__init__(f"CNI plugin {plugin}: {command}: {words}")
        self.is_its_word = is_its_word


@dataclass(frozen=True, slots=True)
class Attachment:
    """One interface of one pod. runtime: what the runtime can tell, by capability."""

    container_id: str
    netns: str
    device: str = "eth0"
    args: Tree = field(default_factory=dict)
    runtime: Tree = field(default_factory=dict)


NOBODY = Attachment("", "", "")


class Plugins:
    """Programs in folders. within: a command before theirs, which puts them where the node is."""

    def __init__(
        self,
        commands: Commands,
        blocking: Blocking,
        paths: Sequence[str] = PATHS,
        within: Sequence[str] = (),
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._commands, self._blocking = commands, blocking
        self._paths, self._within = tuple(paths), tuple(within)
        self._deadline_s = deadline_s

    async def add(self, conflist: Conflist, wanted: Attachment) -> Result:
        """Attach; where a plugin fails, what was made before it is taken back.

        Raises: PluginFailed.
        """
        first, *others = conflist.plugins
        try:
            result = await self._add(conflist, first, wanted, None)
            for plugin in others:
                result = await self._add(conflist, plugin, wanted, result.tree)
        except PluginFailed:
            await self.delete_if_can(conflist, wanted)
            raise
        return result

    async def _add(
        self, conflist: Conflist, plugin: Tree, wanted: Attachment, before: Tree | None
    ) -> Result:
        name, request = str(plugin["type"]), request_for(conflist, plugin, wanted.runtime, before)
        try:
            return result_of(await self._call("ADD", name, request, wanted))
        except NotAResult as error:
            raise PluginFailed(name, "ADD", str(error)) from error

    async def delete_if_can(
        self, conflist: Conflist, wanted: Attachment, result: Tree | None = None
    ) -> None:
        """Take back what can be: the caller has a failure to tell, or begins by DEL next time."""
        try:
            await self.delete(conflist, wanted, result)
        except PluginFailed as error:
            log.warning("attachment not taken back", pod=wanted.container_id, why=error)

    async def check(self, conflist: Conflist, wanted: Attachment, result: Tree) -> None:
        """Raises: PluginFailed: it is not as the result says, or nobody can tell."""
        for plugin in conflist.plugins:
            request = request_for(conflist, plugin, wanted.runtime, result)
            await self._call("CHECK", str(plugin["type"]), request, wanted, is_quick=True)

    async def delete(
        self, conflist: Conflist, wanted: Attachment, result: Tree | None = None
    ) -> None:
        """Detach, the last plugin first; all are asked. Raises: PluginFailed, the first failure."""
        failures: list[PluginFailed] = []
        for plugin in reversed(conflist.plugins):
            request = request_for(conflist, plugin, wanted.runtime, result)
            try:
                await self._call("DEL", str(plugin["type"]), request, wanted)
            except PluginFailed as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def collect(self, conflist: Conflist, valid: Sequence[Attachment]) -> None:
        """Have plugins free what belongs to none of these. Raises: PluginFailed."""
        kept = [{"containerID": one.container_id, "ifname": one.device} for one in valid]
        for plugin in conflist.plugins:
            request = request_for(conflist, plugin, {})
            request["cni.dev/valid-attachments"] = kept
            await self._call("GC", str(plugin["type"]), request, NOBODY)

    async def missing(self, conflist: Conflist) -> tuple[str, ...]:
        """Return the programs of a list that are in none of the folders."""

        def look() -> tuple[str, ...]:
            return tuple(one for one in conflist.programs if not found(one, self._paths))

        return await self._blocking.run(FIND, look)

    async def versions(self, plugin: str) -> tuple[str, ...]:
        """Return the versions that a plugin speaks. Raises: PluginFailed."""
        printed = await self._call(
            "VERSION", plugin, {"cniVersion": "1.0.0"}, NOBODY, is_quick=True
        )
        try:
            return versions_in(printed)
        except NotAResult as error:
            raise PluginFailed(plugin, "VERSION", str(error)) from error

    async def _call(
        self,
        command: str,
        plugin: str,
        request: Tree,
        wanted: Attachment,
        *,
        is_quick: bool = False,
    ) -> bytes:
        program = await self._blocking.run(FIND, partial(found, plugin, self._paths))
        if not program:
            raise PluginFailed(plugin, command, f"is not in {' or '.join(self._paths)}")
        told = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": wanted.container_id,
            "CNI_NETNS": wanted.netns,
            "CNI_IFNAME": wanted.device,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in wanted.args.items()),
            "CNI_PATH": ":".join(self._paths),
        }
        environment = [f"{key}={value}" for key, value in told.items()]
        argv = [*self._within, "env", *environment, program]
        deadline_s = min(QUICK_S, self._deadline_s) if is_quick else self._deadline_s
        stdin = msgspec.json.encode(request)
        try:
            done = await self._commands.run(argv, stdin=stdin, deadline_s=deadline_s)
        except CommandFailed as error:
            raise _failure(plugin, command, error) from error
        return done.stdout


def _failure(plugin: str, command: str, error: CommandFailed) -> PluginFailed:
    if words := error_in(error.stdout):
        return PluginFailed(plugin, command, words, is_its_word=True)
    said = error.said.strip() or error.stdout.decode(errors="replace").strip()
    ended = "was killed" if error.code is None else f"ended with {error.code}"
    words = f"{ended}: {said[:SAID_CHARS_MAX] or 'it said nothing'}"
    return PluginFailed(plugin, command, words)


def found(plugin: str, paths: Sequence[str]) -> str:
    """Return the path of a plugin's program; empty where there is none. May block."""
    candidates = (Path(folder) / plugin for folder in paths)
    return next((str(one) for one in candidates if one.is_file() and os.access(one, os.X_OK)), "")
