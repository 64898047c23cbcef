"""The nursery: process 1, of one thread, so that forking is safe; it forks zygotes, and reaps."""

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from serverless.runtime import wire, worker, zygote


def run(listener: socket.socket, door: Callable[[socket.socket, socket.socket], None]) -> NoReturn:
    """Fork the door and then zygotes for it; end when it ends, or by TERM."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        try:
            ours.close()
            door(listener, theirs)
        finally:
            os._exit(1)
    # What is forked from here has no way to what clients send.
    theirs.close()
    listener.close()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Children are reaped by the kernel, those of workers that were ended included.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        try:
            wire.read_message(ours, 0)
        except wire.Ended:
            os._exit(1)
        mine, for_door = socket.socketpair()
        number = os.fork()
        if number == 0:
            ours.close()
            for_door.close()
            worker.lead_group(0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            zygote.run(mine)
        worker.lead_group(number)
        socket.send_fds(ours, [wire.packed({"pid": number})], [for_door.fileno()])
        mine.close()
        for_door.close()
