"""`python -m proxy.reset`: take every service rule and announced address away, and nothing else.

The table of nf_tables and both kinds of iptables are cleaned, whichever is in use now. Repeatable;
a machine without them has nothing to clean. What every program's reset is given, `--settings FILE`,
is not needed here.
"""

import asyncio
import sys

from cubernetes.host.blocking import Threads
from cubernetes.host.command import CommandFailed, Commands, SystemCommands
from cubernetes.host.packetfilter.iptables import LEGACY, NFT, Iptables, holds_ours
from cubernetes.host.packetfilter.nftsocket import NftSocket
from proxy.announce import addresses
from proxy.services.compile import OWNER
from proxy.services.nftables.table import Table


async def reset(commands: Commands, table: Table | None = None) -> None:
    """Remove our chains, the jumps into them, our table, and addresses that were announced.

    table: of the kernel on which commands act. Raises: CommandFailed, with the rest undone.
    """
    if table is not None:
        await table.remove()
    for tools in (NFT, LEGACY):
        if await holds_ours(commands, tools):
            await Iptables(commands, tools, OWNER).reset()
    await addresses.reset(commands)


def main() -> int:
    try:
        asyncio.run(reset(SystemCommands(), Table(NftSocket(), Threads())))
    except CommandFailed as error:
        sys.stderr.write(f"proxy.reset: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
