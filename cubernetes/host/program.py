"""How every daemon begins and ends: `python -m <program> --settings FILE`, until TERM."""

import argparse
import asyncio
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from cubernetes.host.env import Env
from cubernetes.host.log import Log, log_to_stderr
from cubernetes.host.settings import Settings, SettingsInvalid, read_settings
from cubernetes.host.version import VERSION

log = Log(__name__)

STOPPED = "program cannot go on"
# Behind the refusal of settings: who wrote the file may have been of another version.
HINT = "; if cuberoot wrote the file, `cuberoot start` writes it anew for this version"
# As many as our units of systemd give; other parents often leave a program with 1024.
DESCRIPTORS_MAX = 65_536


class CannotGoOn(Exception):
    """The world stands in the way; the sentence says what. No bug: nobody needs its story."""


def main[S: Settings](
    name: str,
    kind: type[S],
    run: Callable[[S, Env], Awaitable[None]],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a daemon; return its exit code: 0 ended by TERM or INT, 1 failed, 2 settings refused."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--settings", required=True, type=Path, help="a JSON file")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    options = parser.parse_args(argv)
    log_to_stderr(options.log_level)
    try:
        settings = read_settings(kind, options.settings)
    except SettingsInvalid as error:
        sys.stderr.write(f"{name}: {error}{HINT}\n")
        return 2
    take_descriptors()
    env = Env()
    env.metrics.tell_process(name, VERSION)
    return uvloop.run(_until_told(name, run(settings, env)))


def take_descriptors() -> None:
    """Raise this process's soft limit of descriptors as far as its hard limit and ours allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _until_told(name: str, work: Awaitable[None]) -> int:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    log.info("program started", program=name)
    try:
        await task
    except asyncio.CancelledError:
        log.info("program stopped", program=name)
        return 0
    except CannotGoOn as error:
        log.error(STOPPED, program=name, why=error)  # noqa: TRY400  no bug: no story
        return 1
    except Exception as error:  # noqa: BLE001  the last place that can tell the story
        log.bug("program failed", error, program=name)
        return 1
    return 0
