"""`python -m serverless.broker.reset --settings FILE`: takes the broker's folder away."""

import shutil
import sys
from functools import partial
from pathlib import Path

from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.program import main
from serverless.settings import BrokerSettings

log = Log(__name__)


async def reset(settings: BrokerSettings, env: Env) -> None:
    root = Path(settings.root)
    await env.blocking.run(("broker", "files"), partial(shutil.rmtree, root, ignore_errors=True))
    log.info("the broker's records are removed", root=root)


if __name__ == "__main__":
    sys.exit(main("serverless.broker.reset", BrokerSettings, reset))
