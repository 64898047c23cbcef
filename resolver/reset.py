"""`python -m resolver.reset --settings FILE`: take the resolver's address from this machine."""

import argparse
import asyncio
import sys
from pathlib import Path

from cubernetes.host.command import CommandFailed, SystemCommands
from cubernetes.host.settings import SettingsInvalid, read_settings
from resolver import address
from resolver.settings import ResolverSettings


def main() -> int:
    parser = argparse.ArgumentParser(prog="resolver.reset")
    parser.add_argument("--settings", required=True, type=Path, help="a JSON file")
    options = parser.parse_args()
    try:
        settings = read_settings(ResolverSettings, options.settings)
        asyncio.run(address.remove(SystemCommands(), settings.address))
    except (CommandFailed, SettingsInvalid) as error:
        sys.stderr.write(f"resolver.reset: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
