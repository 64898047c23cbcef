"""Packet filter rules that are kept: applied at each change, put right soon when they differ."""

import asyncio
from collections.abc import Awaitable, Callable

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.iptables import Applied, Iptables, pause_after, tools_in_use
from cubernetes.host.packetfilter.ruleset import Owner, RuleSet
from cubernetes.host.timing.waiting import wait_until

log = Log(__name__)

# What others change is put right within this, and the time that a look takes.
CHECK_S = 4.0
RETRY_S = 2.0


class KeptRules:
    """One owner's rules on this machine. They stay when this ends."""

    def __init__(
        self,
        env: Env,
        owner: Owner,
        what: str,
        on_applied: Callable[[Applied], Awaitable[None]] | None = None,
    ) -> None:
        self._env, self._owner, self._what, self._on_applied = env, owner, what, on_applied
        self._wanted: RuleSet | None = None
        self._changed = asyncio.Event()

    def want(self, rules: RuleSet) -> None:
        """Take what is wanted from now on."""
        if rules != self._wanted:
            self._wanted = rules
            self._changed.set()

    def wake(self) -> None:
        """Look at once."""
        self._changed.set()

    async def run(self) -> None:
        """Apply each change, and look now and then whether somebody else made one.

        What an earlier life wrote stays until something is wanted in this one.
        """
        tools = await tools_in_use(self._env.commands)
        rules = Iptables(self._env.commands, tools, self._owner)
        while self._wanted is None:
            self._changed.clear()
            await self._changed.wait()
        is_failing = False
        while True:
            self._changed.clear()
            pause_s, failure = await self._turn(rules, self._wanted)
            if failure is not None and not is_failing:
                log.warning("rules not applied", what=self._what, why=failure)
            is_failing = failure is not None
            await wait_until(self._changed, pause_s)

    async def _turn(self, rules: Iptables, wanted: RuleSet) -> tuple[float, CommandFailed | None]:
        """Bring the machine to what is wanted; return when to look again, and what failed."""
        began_s = self._env.clock.monotonic()
        try:
            applied = await rules.check(wanted)
            if self._on_applied is not None:
                await self._on_applied(applied)
        except CommandFailed as error:
            return RETRY_S, error
        spent_s = self._env.clock.monotonic() - began_s
        return pause_after(spent_s, CHECK_S), None
