"""`python -m serverless.broker --settings FILE`: prepares what a broker reads, and becomes it."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

from cubernetes.host.durable.files import write_atomic
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.program import main
from serverless.broker.compile import FORMATTER, SERVER, java_command, properties, properties_text
from serverless.settings import BrokerSettings

log = Log(__name__)

FORMAT_S = 120.0
DATA, FORMATTED = "data", "formatted"
PROPERTIES, KEYSTORE = "server.properties", "own.pem"
ID_CHARS = 22
FILES = ("broker", "files")


async def prepare(settings: BrokerSettings, env: Env) -> None:
    """Write what the broker reads; format its folder where none was formatted to the end."""
    root = Path(settings.root)
    if await env.blocking.run(FILES, partial(_write, settings, root)):
        return
    words = ("format", "--standalone", "-t", env.rng.chars(ID_CHARS), "-c", str(root / PROPERTIES))
    await env.commands.run(java_command(settings, FORMATTER, *words), deadline_s=FORMAT_S)
    await env.blocking.run(FILES, partial(write_atomic, root / FORMATTED, b""))
    log.info("the broker's folder is formatted", root=root)


def _write(settings: BrokerSettings, root: Path) -> bool:
    """Write what the broker reads; return whether its folder is formatted."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    keystore, data = root / KEYSTORE, root / DATA
    own = Path(settings.key).read_bytes() + Path(settings.cert).read_bytes()
    write_atomic(keystore, own)
    text = properties_text(properties(settings, str(data), str(keystore)))
    write_atomic(root / PROPERTIES, text.encode())
    if (root / FORMATTED).exists():
        return True
    # A broker has never begun here: what a cut run has left has nothing in it.
    shutil.rmtree(data, ignore_errors=True)
    return False


async def become(settings: BrokerSettings, env: Env) -> None:
    await prepare(settings, env)
    argv = java_command(settings, SERVER, str(Path(settings.root) / PROPERTIES))
    sys.stderr.flush()
    os.execvp(argv[0], argv)  # noqa: S606  no shell: the broker takes this process's place


if __name__ == "__main__":
    sys.exit(main("serverless.broker", BrokerSettings, become))
