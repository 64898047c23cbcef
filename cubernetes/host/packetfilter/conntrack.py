"""Makes the kernel forget flows: of services, of ports of nodes and of pods alike."""

from collections.abc import Iterable, Sequence

from cubernetes.host.command import CommandFailed, Commands
from cubernetes.host.log import Log
from cubernetes.host.packetfilter.flows import Flow, Front, argv_for, argvs_for_address

log = Log(__name__)

# Above this, every UDP flow to the addresses in question is forgotten by a few commands: each
# client's next packet then finds its way again.
FLOW_MAX = 32
DEADLINE_S = 10.0


class Flows:
    """Once the program is found to be missing, it is not asked for again."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._can_forget = True

    async def forget(self, flows: Sequence[Flow], everything: Sequence[str]) -> None:
        """Forget flows; what cannot be is told, and expires by itself.

        everything: the addresses or ranges that hold every front of such flows.
        """
        few = flows if len(flows) <= FLOW_MAX else [Flow(Front(one)) for one in everything]
        await self._run(argv_for(flow) for flow in few)

    async def forget_address(self, address: str) -> None:
        """Forget every UDP flow from and to an address that nobody has any more."""
        await self._run(argvs_for_address(address))

    async def _run(self, commands: Iterable[list[str]]) -> None:
        for argv in commands:
            if not self._can_forget:
                return
            try:
                await self._commands.run(argv, deadline_s=DEADLINE_S)
            except CommandFailed as error:
                self._failed(argv, error)

    def _failed(self, argv: Sequence[str], error: CommandFailed) -> None:
        if error.code is None:
            log.warning("stale UDP flows stay until they expire", reason=error)
            self._can_forget = False
        # It also ends with 1 where there was nothing to delete, which is the usual case.
        elif "0 flow entries" not in error.said:
            log.warning("stale UDP flow not forgotten", argv=" ".join(argv), reason=error)
