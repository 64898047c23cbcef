"""A steady load on one address: `python loader.py HOST PORT RATE CALLERS new|kept`, until its end.

Runs on a node, from its file alone. Each caller asks again and again, with a new connection each
time or on one that it keeps while the server does. Ends at SIGTERM; prints one line of JSON: how
many were answered, in how many seconds, and what failed, by reason. Nothing is asked twice.
"""

import json
import signal
import socket
import sys
import threading
import time
from collections import Counter

# A request that is refused or cut off fails at once; one that a busy machine is slow with does not.
PATIENCE_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: load.example\r\n%s\r\n"
CLOSE = b"Connection: close\r\n"


def answer_of(line: socket.socket) -> bytes:
    """Read one answer: a head, and as much after it as it says. Raises: OSError."""
    came = b""
    while b"\r\n\r\n" not in came:
        part = line.recv(4096)
        if not part:
            raise ConnectionResetError("closed within the head" if came else "closed unanswered")
        came += part
    head, _, body = came.partition(b"\r\n\r\n")
    _, _, after = head.partition(b"Content-Length: ")
    left = int(after.split(b"\r\n")[0]) - len(body)
    while left > 0:
        part = line.recv(4096)
        if not part:
            raise ConnectionResetError("closed within the body")
        left -= len(part)
    return head


class Caller(threading.Thread):
    """One of those that ask."""

    def __init__(self, target: tuple[str, int], pause_s: float, is_kept: bool) -> None:
        super().__init__(daemon=True)
        self.target, self.pause_s, self.is_kept = target, pause_s, is_kept
        self.answered_count = 0
        self.failed: Counter[str] = Counter()
        self.line: socket.socket | None = None

    def run(self) -> None:
        due_s = time.monotonic()
        while not ENDED.is_set():
            try:
                self.ask()
                self.answered_count += 1
            except OSError as error:
                self.hang_up()
                self.failed[f"{type(error).__name__}: {error}"] += 1
            # A caller that was held up does not make up for it: others' load stays as it is.
            due_s = max(due_s + self.pause_s, time.monotonic())
            ENDED.wait(max(0.0, due_s - time.monotonic()))

    def ask(self) -> None:
        if self.line is None:
            self.line = socket.create_connection(self.target, PATIENCE_S)
            self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line.sendall(REQUEST % (b"" if self.is_kept else CLOSE))
        head = answer_of(self.line)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise OSError(head[:40].decode(errors="replace"))
        if not self.is_kept or b"Connection: close" in head:
            self.hang_up()

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.close()
            self.line = None


ENDED = threading.Event()


def main(host: str, port: str, rate: str, callers: str, mode: str) -> None:
    """Ask until told to end; print what became of it."""
    signal.signal(signal.SIGTERM, lambda *_: ENDED.set())
    began_s = time.monotonic()
    pause_s = int(callers) / float(rate)
    threads = [Caller((host, int(port)), pause_s, mode == "kept") for _ in range(int(callers))]
    for one in threads:
        one.start()
    ENDED.wait()
    for one in threads:
        one.join(PATIENCE_S * 2)
    failed = sum((one.failed for one in threads), Counter[str]())
    said = {
        "answered": sum(one.answered_count for one in threads),
        "spent_s": round(time.monotonic() - began_s, 2),
        "failed": dict(failed),
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
