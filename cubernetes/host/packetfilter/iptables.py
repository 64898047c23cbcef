"""The packet filter of this machine, by iptables: one transaction from what is to what should be.

Touches the chains of one owner and the jumps into them, and nothing else. iptables exists twice
(on nf_tables and legacy); mixing the two on one machine breaks both, so the one in use is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.ruleset import (
    PREFIX,
    Chain,
    FoundRules,
    Owner,
    Rule,
    RuleSet,
    changed_places,
    found_in,
    restore_text,
)

log = Log(__name__)

type Choice = Literal["auto", "nft", "legacy"]

LOCK_WAIT_S = 5  # for the lock that legacy iptables takes
# Of a transaction; iptables-nft looks through all chains for each, and 40,000 of them took it nine
# minutes where others wanted the machine, a minute and a half of processor.
DEADLINE_S, CHAIN_DEADLINE_S = 30.0, 0.02
# A listing that is given up is taken for none: it must not be the size of what is listed.
LISTING_DEADLINE_S = 300.0
# A machine with tens of thousands of rules spends this share of its time on looking, not more.
CHECK_SHARE = 1 / 20
# A look takes long also where the machine is busy: what somebody flushed is not left for longer.
CHECK_PAUSE_S_MAX = 8.0


def pause_after(spent_s: float, interval_s: float) -> float:
    """Return when to look again after a look that took so long; not before interval_s."""
    return max(interval_s, min(spent_s / CHECK_SHARE, CHECK_PAUSE_S_MAX))


class Tools(NamedTuple):
    """The programs of one kind of iptables. `any` is what the distribution chose."""

    name: Literal["nft", "legacy", "any"]
    save: str
    restore: str


NFT = Tools("nft", "iptables-nft-save", "iptables-nft-restore")
LEGACY = Tools("legacy", "iptables-legacy-save", "iptables-legacy-restore")
ANY = Tools("any", "iptables-save", "iptables-restore")
_OURS = f"\n:{PREFIX}"


async def tools_in_use(commands: Commands, choice: Choice = "auto") -> Tools:
    """Return the kind of iptables that this machine's rules are in.

    The one that holds chains of ours; else legacy where only legacy has rules; else whichever
    the distribution calls iptables. Programs that ask at the same time get the same answer.
    """
    if choice != "auto":
        return NFT if choice == "nft" else LEGACY
    nft, legacy = await _listing(commands, NFT), await _listing(commands, LEGACY)
    for tools, text in ((NFT, nft), (LEGACY, legacy)):
        if _OURS in text:
            return tools
    if "\n-A " in legacy and "\n-A " not in nft:
        return LEGACY
    return ANY


async def holds_ours(commands: Commands, tools: Tools) -> bool:
    """Tell whether this kind of iptables is there and holds a chain of the house."""
    return _OURS in await _listing(commands, tools)


async def _listing(commands: Commands, tools: Tools) -> str:
    try:
        done = await commands.run([tools.save], deadline_s=LISTING_DEADLINE_S)
    except CommandFailed as error:
        log.debug("this kind of iptables is not usable", tools=tools.name, reason=error)
        return ""
    return "\n" + done.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply found and left; `changed` names the chains that were written or removed."""

    before: RuleSet
    after: RuleSet
    changed: tuple[Chain, ...] = ()
    is_written: bool = False


class Iptables:
    """One owner's rules on this machine. Not to be used by two tasks at once."""

    def __init__(
        self,
        commands: Commands,
        tools: Tools,
        owner: Owner,
        generation: Callable[[], int | None] = lambda: None,
    ) -> None:
        """generation: a number that every change of the rules moves; None where there is none."""
        self._commands, self._tools, self._owner = commands, tools, owner
        self._generation = generation
        self._known: FoundRules | None = None
        # At this generation the machine was found to hold what is known.
        self._right_at: int | None = None
        # Rules that this iptables spells in its own way: as we wrote them, as it gives them back.
        self._spelled: dict[Chain, tuple[tuple[Rule, ...], tuple[Rule, ...]]] = {}

    async def read(self) -> FoundRules:
        """Return what the machine holds of this owner."""
        argv = [self._tools.save]
        done = await self._commands.run(argv, deadline_s=LISTING_DEADLINE_S)
        return found_in(done.stdout.decode(errors="replace"), self._owner)

    async def apply(self, wanted: RuleSet) -> Applied:
        """Make the machine hold wanted, in one transaction; nothing is written where it does.

        What was found or written last is trusted until `check` looks again.

        Raises:
            CommandFailed: nothing was changed, or (after a deadline) perhaps all; ask again.
        """
        if self._known is None:
            self._known = await self.read()
        return await self._move(self._known, wanted)

    async def check(self, wanted: RuleSet) -> Applied:
        """Look at what the machine really holds, and repair what somebody else changed.

        Where no rule at all has changed since it was found to be right, nothing is read.
        """
        # Before the reading: what changes after it is found by the next look.
        now = self._generation()
        if self._known is not None and now is not None and now == self._right_at:
            return await self._move(self._known, wanted)
        found = self._as_written(await self.read())
        applied = await self._move(found, wanted)
        if applied.is_written:
            self._learn(await self.read(), wanted)
        else:
            self._right_at = now
        return applied

    async def reset(self) -> Applied:
        """Remove the owner's chains and the jumps into them, and nothing else."""
        return await self._move(await self.read(), RuleSet())

    async def _move(self, found: FoundRules, wanted: RuleSet) -> Applied:
        is_same = found.rules is wanted and not found.crowded
        text = "" if is_same else restore_text(found, wanted)
        if not text:
            self._known = FoundRules(wanted)
            return Applied(found.rules, wanted)
        # Not known again until the transaction is through: a failed one is followed by a reading.
        self._known = self._right_at = None
        argv = [self._tools.restore, "--noflush", "-w", str(LOCK_WAIT_S)]
        chain_count = max(len(found.rules.chains), len(wanted.chains))
        deadline_s = DEADLINE_S + chain_count * CHAIN_DEADLINE_S
        await self._commands.run(argv, stdin=text.encode("ascii"), deadline_s=deadline_s)
        self._known = FoundRules(wanted)
        changed = tuple(changed_places(found.rules, wanted))
        return Applied(found.rules, wanted, changed, is_written=True)

    def _as_written(self, found: FoundRules) -> FoundRules:
        if not self._spelled:
            return found
        chains = dict(found.rules.chains)
        for place, (written, spelled) in self._spelled.items():
            if chains.get(place) == spelled:
                chains[place] = written
        return FoundRules(RuleSet(chains, found.rules.jumps), found.crowded)

    def _learn(self, found: FoundRules, wanted: RuleSet) -> None:
        """Remember how just-written chains come back, so that they are not written for ever."""
        spelled: Sequence[Chain] = [
            place
            for place, rules in wanted.chains.items()
            if len(found.rules.chains.get(place, ())) == len(rules)
            and found.rules.chains[place] != rules
        ]
        if spelled:
            log.warning("this iptables spells rules in its own way", chain=spelled[0].chain)
        self._spelled = {
            place: (wanted.chains[place], found.rules.chains[place]) for place in spelled
        }
