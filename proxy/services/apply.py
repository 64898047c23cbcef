"""The rules of this node, kept as compiled: writes what changed, and forgets stale UDP flows."""

from collections.abc import Callable

from cubernetes.host.command import Commands, SystemCommands
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.conntrack import Flows
from cubernetes.host.packetfilter.flows import stale_flows
from cubernetes.host.packetfilter.generation import generation
from cubernetes.host.packetfilter.iptables import Applied, Choice, Iptables, Tools, tools_in_use
from cubernetes.host.packetfilter.ruleset import Chain, RuleSet
from proxy.services.compile import OWNER, SERVICES
from proxy.services.flows import udp_endpoints, wide_fronts

log = Log(__name__)

VERSION_DEADLINE_S = 5.0


class ServiceRules:
    """Every call may be repeated after a failure; none leaves a packet without an answer."""

    def __init__(self, commands: Commands, iptables: Iptables, service_range: str) -> None:
        self._iptables = iptables
        self._service_range = service_range
        self._flows = Flows(commands)

    async def apply(self, wanted: RuleSet) -> Applied:
        """Write what differs from what was last written or found. Raises: CommandFailed."""
        return await self._with_flows(await self._iptables.apply(wanted))

    async def check(self, wanted: RuleSet) -> Applied:
        """Compare with what the kernel holds, and repair it. Raises: CommandFailed."""
        return await self._with_flows(await self._iptables.check(wanted))

    async def are_there(self) -> bool:
        """Tell whether the kernel serves by rules of ours. Raises: CommandFailed."""
        found = (await self._iptables.read()).rules
        return bool(found.jumps) and bool(found.chains.get(Chain("nat", SERVICES)))

    async def reset(self) -> None:
        """Take every rule of ours away. Raises: CommandFailed."""
        await self._iptables.reset()

    async def _with_flows(self, applied: Applied) -> Applied:
        # After the rules, never before: a flow forgotten too early would come back by the old ones.
        if applied.is_written:
            stale = stale_flows(udp_endpoints(applied.before), udp_endpoints(applied.after))
            await self._flows.forget(stale, sorted(wide_fronts(stale, self._service_range)))
        return applied


async def rules_of_this_node(
    commands: Commands,
    choice: Choice,
    service_range: str,
    changes: Callable[[], int | None] = generation,
) -> ServiceRules:
    """Return this node's rules, in the kind of iptables that it already uses.

    changes: a number that every change of the rules by others moves.
    """
    tools = await tools_in_use(commands, choice)
    log.info("iptables chosen", kind=tools.name)
    # Other commands than the system's act on another kernel than ours, or on none.
    is_ours = isinstance(commands, SystemCommands)
    has_generation = is_ours and await _is_on_nf_tables(commands, tools)
    iptables = Iptables(commands, tools, OWNER, changes if has_generation else lambda: None)
    return ServiceRules(commands, iptables, service_range)


async def _is_on_nf_tables(commands: Commands, tools: Tools) -> bool:
    """Tell which kind it is that the distribution calls iptables, where that was chosen."""
    if tools.name != "any":
        return tools.name == "nft"
    done = await commands.run([tools.save, "--version"], deadline_s=VERSION_DEADLINE_S)
    return b"nf_tables" in done.stdout
