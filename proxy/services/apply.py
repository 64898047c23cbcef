"""The rules of this node, kept as compiled: writes what changed, and forgets stale UDP flows."""

from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.iptables import Applied, Choice, Iptables, tools_in_use
from cubernetes.host.log import Log
from cubernetes.host.ruleset import Place, RuleSet
from proxy.services.compile import OWNER, SERVICES
from proxy.services.flows import Flow, Front, stale_flows

log = Log(__name__)

# Above this, all UDP flows to services are forgotten by one command: each client's next packet
# then finds an endpoint again.
FLOW_LIMIT = 32
CONNTRACK_DEADLINE_S = 10.0


class ServiceRules:
    """Every call may be repeated after a failure; none leaves a packet without an answer."""

    def __init__(self, commands: Commands, iptables: Iptables, service_range: str) -> None:
        self._commands, self._iptables = commands, iptables
        self._service_range = service_range
        self._stale: set[Flow] = set()
        self._can_forget = True

    async def apply(self, wanted: RuleSet) -> Applied:
        """Write what differs from what was last written or found. Raises: CommandFailed."""
        return await self._with_flows(await self._iptables.apply(wanted))

    async def check(self, wanted: RuleSet) -> Applied:
        """Compare with what the kernel holds, and repair it. Raises: CommandFailed."""
        return await self._with_flows(await self._iptables.check(wanted))

    async def are_there(self) -> bool:
        """Tell whether the kernel serves by rules of ours. Raises: CommandFailed."""
        found = (await self._iptables.read()).rules
        return bool(found.jumps) and bool(found.chains.get(Place("nat", SERVICES)))

    async def reset(self) -> None:
        """Take every rule of ours away. Raises: CommandFailed."""
        await self._iptables.reset()

    async def _with_flows(self, applied: Applied) -> Applied:
        # After the rules, never before: a flow forgotten too early would come back by the old ones.
        if applied.is_written:
            self._stale |= set(stale_flows(applied.before, applied.after))
        if self._stale and self._can_forget:
            await self._forget(sorted(self._stale))
        self._stale.clear()
        return applied

    async def _forget(self, flows: list[Flow]) -> None:
        if len(flows) > FLOW_LIMIT:
            flows = [Flow(Front(self._service_range, ""))]
        for flow in flows:
            try:
                await self._commands.run(argv_to_forget(flow), deadline_s=CONNTRACK_DEADLINE_S)
            except CommandFailed as error:
                if error.code is None:
                    log.warning("stale UDP flows stay until they expire", reason=error)
                    self._can_forget = False
                    return
                # It also ends with 1 where there was nothing to delete, which is the usual case.
                if "0 flow entries" not in error.said:
                    log.warning("stale UDP flow not forgotten", front=flow.front, reason=error)


def argv_to_forget(flow: Flow) -> list[str]:
    """Return the command that deletes a flow from the kernel's table of connections."""
    argv = ["conntrack", "-D", "-p", "udp", "--orig-dst", flow.front.address]
    if flow.front.port:
        argv += ["--orig-port-dst", flow.front.port]
    return argv + (["--dst-nat", flow.endpoint] if flow.endpoint else [])


async def rules_of_this_node(
    commands: Commands, choice: Choice, service_range: str
) -> ServiceRules:
    """Return this node's rules, in the kind of iptables that it already uses."""
    tools = await tools_in_use(commands, choice)
    log.info("iptables chosen", kind=tools.name)
    return ServiceRules(commands, Iptables(commands, tools, OWNER), service_range)
