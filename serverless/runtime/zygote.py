"""A zygote: loads the code of one revision once, then forks a worker for each that is asked for."""

import importlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from serverless.runtime import userland, wire, worker
from serverless.runtime.story import story_of

CODE_BYTES_MAX = 4 * 1024 * 1024


class Unloadable(Exception):
    """The code is no function; says what is missing."""


def run(control: socket.socket) -> NoReturn:
    """Load what the door sends, tell it, and fork workers until it closes the connection."""
    folder = tempfile.mkdtemp(prefix="function-")
    try:
        action = _loaded(control, Path(folder))
        if action is not None:
            _fork_workers(control, action)
    finally:
        # The files stay where a worker is on its way: it has them in memory, and may read others.
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def _loaded(control: socket.socket, folder: Path) -> Callable[[Any], Any] | None:
    _, content = wire.read_message(control, CODE_BYTES_MAX)
    code, _ = wire.unpacked(content)
    began_s = time.monotonic()
    # What it prints while it is loaded belongs to no call.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        action = load(code, folder)
    except BaseException as error:  # noqa: BLE001  whatever the code raises is its answer
        control.sendall(wire.packed({"failed": story_of(error)}))
        return None
    spent_ms = (time.monotonic() - began_s) * 1000
    control.sendall(wire.packed({"milliseconds": round(spent_ms, 1)}))
    return action


def load(code: Mapping[str, Any], folder: Path) -> Callable[[Any], Any]:
    """Write the files, import the entry's module, and return its function.

    Raises: Unloadable, and whatever the code raises.
    """
    os.environ.update(code["env"])
    for name, text in code["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    # By this name a function finds what it may return; ours are loaded already.
    sys.modules["serverless"] = userland
    module_name, _, name = code["entry"].rpartition(".")
    module = importlib.import_module(module_name)
    action = getattr(module, name, None)
    if not callable(action):
        raise Unloadable(f"{module_name} has no function {name!r}: write `def {name}(req):`")
    if threading.active_count() > 1:
        raise Unloadable("the code starts threads while it is loaded: start them in the function")
    found: Callable[[Any], Any] = action
    return found


def _fork_workers(control: socket.socket, action: Callable[[Any], Any]) -> None:
    """Fork a worker for each message; its socket, what it prints and its number go to the door."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        try:
            wire.read_message(control, 0)
        except wire.Ended:
            return
        mine, theirs = socket.socketpair()
        read, write = os.pipe()
        number = os.fork()
        if number == 0:
            try:
                control.close()
                theirs.close()
                os.close(read)
                worker.become_worker(mine, write)
                worker.serve(mine, action)
            finally:
                os._exit(0)
        worker.lead_group(number)
        message = wire.packed({"pid": number})
        socket.send_fds(control, [message], [theirs.fileno(), read])
        for one in (mine, theirs):
            one.close()
        for descriptor in (read, write):
            os.close(descriptor)
