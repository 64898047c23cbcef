"""The frame of a job on a Slurm node: runs its program once, and writes down how it ended.

    python3 frame.py FOLDER OUTPUT_BYTES_MAX

It travels with each job. The folder has start.sh, for bash, and files/; the frame writes out, err,
begun and end. Python 3.10 with nothing beside it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import IO, Any

LOOK_S, DRAIN_S = 0.05, 2.0
CHUNK_BYTES = 64 << 10
SIGNALS_FROM = 128  # a shell's exit code is this and the signal that ended its child
BEGUN_BEFORE = 75


def main(folder: str, bytes_max: int) -> int:
    """Return the exit code of the program, which runs once for each folder, whatever Slurm does."""
    os.umask(0o077)
    begun = {"id": os.environ.get("SLURM_JOB_ID", ""), "host": socket.gethostname(), "at": now()}
    if not first(os.path.join(folder, "begun"), begun):
        sys.stderr.write("cube-site: this key has begun before; it does not run twice\n")
        return BEGUN_BEFORE
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    code = followed(started(folder), folder, bytes_max, asked)
    number = -code if code < 0 else max(0, code - SIGNALS_FROM)
    code = SIGNALS_FROM + number if number else code
    end = {"exit": code, "signal": number, "at": now(), "isTerminated": bool(asked)}
    put(os.path.join(folder, "end"), {**end, "beganAt": begun["at"]})
    return code


def now() -> int:
    return int(time.time())


def first(path: str, told: dict[str, Any]) -> bool:
    """Whether this is the first to put a file there; it is whole before it is seen."""
    part = f"{path}.{told['id']}.{os.getpid()}"
    put(part, told)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(part)
    return True


def put(path: str, told: dict[str, Any]) -> None:
    with open(path + ".part", "w") as file:
        json.dump(told, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".part", path)


def started(folder: str) -> subprocess.Popen[bytes]:
    script = os.path.join(folder, "start.sh")
    with open(script, "rb") as file:
        # `module` is a function of login shells.
        login = ["-l"] if file.read(7) == b"module " else []
    return subprocess.Popen(
        ["bash", *login, script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=os.path.join(folder, "files"),
        restore_signals=True,
    )


class Kept:
    """An output as it is kept; what is beyond its limit is counted and let go."""

    def __init__(self, pipe: IO[bytes] | None, path: str, bytes_max: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        self._file = os.open(path, flags, 0o600)
        self._room, self._dropped = bytes_max, 0
        self.pipe = pipe.fileno() if pipe is not None else -1

    def take(self) -> bool:
        """Write down what has come; whether more may come."""
        part = os.read(self.pipe, CHUNK_BYTES)
        fits = part[: self._room]
        self._room -= len(fits)
        self._dropped += len(part) - len(fits)
        while fits:
            fits = fits[os.write(self._file, fits) :]
        return bool(part)

    def close(self) -> None:
        if self._dropped:
            told = f"\ncube-site: {self._dropped} bytes more were not kept\n"
            os.write(self._file, told.encode())
        os.close(self._file)


def followed(child: subprocess.Popen[bytes], folder: str, bytes_max: int, asked: list[int]) -> int:
    """Keep what a program says until it has ended; pass on that its end is asked for."""
    outputs = [
        Kept(pipe, os.path.join(folder, name), bytes_max)
        for pipe, name in ((child.stdout, "out"), (child.stderr, "err"))
    ]
    is_open = {one.pipe: one for one in outputs}
    poll = select.poll()
    for pipe in is_open:
        poll.register(pipe, select.POLLIN)
    # A short program may have ended before the first look: what it said waits in the pipes.
    is_told, ended_s = False, time.monotonic() + DRAIN_S
    # What the program has left running may hold its outputs for ever.
    while child.poll() is None or (is_open and time.monotonic() < ended_s):
        if asked and not is_told:
            is_told = True
            child.terminate()
        if child.returncode is None:
            ended_s = time.monotonic() + DRAIN_S
        for pipe, _ in poll.poll(LOOK_S * 1000):
            if not is_open[pipe].take():
                poll.unregister(pipe)
                del is_open[pipe]
    for one in outputs:
        one.close()
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
