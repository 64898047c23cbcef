"""`python -m proxy.reset`: take every service rule and announced address away, and nothing else.

Both kinds of iptables are cleaned, whichever is in use now. Repeatable; a machine without iptables
has nothing to clean. What every program's reset is given, `--settings FILE`, is not needed here.
"""

import asyncio
import sys

from cubernetes.host.command import CommandFailed, Commands, SystemCommands
from cubernetes.host.packetfilter.iptables import LEGACY, NFT, Iptables, holds_ours
from proxy.announce import addresses
from proxy.services.compile import OWNER


async def reset(commands: Commands) -> None:
    """Remove our chains, the jumps into them, and addresses that were announced.

    Raises: CommandFailed, with the rest undone.
    """
    for tools in (NFT, LEGACY):
        if await holds_ours(commands, tools):
            await Iptables(commands, tools, OWNER).reset()
    await addresses.reset(commands)


def main() -> int:
    try:
        asyncio.run(reset(SystemCommands()))
    except CommandFailed as error:
        sys.stderr.write(f"proxy.reset: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
