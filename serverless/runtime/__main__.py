"""`python -m serverless.runtime [--port 8080] [--host ADDRESS]`: process 1 of an instance."""

import argparse
import importlib

from serverless.runtime import door, nursery

# What most functions import: loaded once, shared by all that are forked.
PRELOADED = ("asyncio", "datetime", "json", "re", "urllib.request")


def main() -> None:
    parser = argparse.ArgumentParser(prog="serverless.runtime")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  of a pod's own network
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    for name in PRELOADED:
        importlib.import_module(name)
    listener = door.listen(options.host, options.port)
    nursery.run(listener, door.run)


main()
