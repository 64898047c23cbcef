"""`python -m resolver.reset --settings FILE`: take the resolver from this machine: its address, and
our lines in the machine's resolv.conf, and our file among those of systemd-resolved.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from cubernetes.host.command import CommandFailed, SystemCommands
from cubernetes.host.settings import SettingsInvalid, read_settings
from resolver import address, hostfile, resolved
from resolver.resolved import Resolved
from resolver.settings import ResolverSettings


def main() -> int:
    parser = argparse.ArgumentParser(prog="resolver.reset")
    parser.add_argument("--settings", required=True, type=Path, help="a JSON file")
    options = parser.parse_args()
    try:
        settings = read_settings(ResolverSettings, options.settings)
        if settings.host_resolv_conf:
            hostfile.ask_no_more(Path(settings.host_resolv_conf))
        if Resolved().ask_no_more():
            asyncio.run(resolved.reload(SystemCommands()))
        asyncio.run(address.remove(SystemCommands(), settings.address))
    except (CommandFailed, OSError, SettingsInvalid) as error:
        sys.stderr.write(f"resolver.reset: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
