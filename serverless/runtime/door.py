"""The door: answers for an instance, a thread a connection, and never runs a function's code.

GET /healthz; POST /load makes a revision loaded beside those that are; POST /line makes the
connection a line, over which calls come one after the other, each run in a worker. The first key
that loads is the only one that may load and call from then on.
"""

import hmac
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from typing import Any, BinaryIO

from serverless.runtime import wire, worker

CONNECTIONS_MAX = 256
# The newest and the one before it, whose calls may be on their way; beside these are kept the
# revisions that a load says it keeps.
REVISIONS_MAX = 2
KEEP_MAX = 8
LOG_BYTES_MAX = 64 * 1024
LOAD_S_MAX = 60.0
FORK_S_MAX = 10.0
IDLE_S_MAX = 3600.0
LINGER_S = 5.0
JSON, TEXT = "application/json", "text/plain"


class Worker:
    """A worker's process: its connection, and the pipe that it prints to."""

    def __init__(self, number: int, connection: socket.socket, pipe: int) -> None:
        self.number, self.connection, self.pipe = number, connection, pipe
        os.set_blocking(pipe, False)

    def has_ended(self) -> bool:
        """Whether it has ended while nobody asked it for anything."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def end(self) -> None:
        """Kill it, with all that it has started."""
        kill_group(self.number)
        self.connection.close()
        os.close(self.pipe)


class Revision:
    """A revision that is loaded: its zygote, and the workers that are free."""

    def __init__(self, number: int, control: socket.socket) -> None:
        self.number, self.control = number, control
        self.free: list[Worker] = []
        self.running_count = 0
        self.forking = threading.Lock()

    def taken(self) -> Worker | None:
        """Take a free worker that lives."""
        while self.free:
            one = self.free.pop()
            if not one.has_ended():
                return one
            one.end()
        return None

    def forked(self) -> Worker:
        """Return one more worker. Raises: wire.Ended: the zygote is gone."""
        with self.forking:
            self.control.settimeout(FORK_S_MAX)
            self.control.sendall(wire.packed({}))
            head, descriptors = receive_with_descriptors(self.control, 2)
        return Worker(head["pid"], socket.socket(fileno=descriptors[0]), descriptors[1])

    def end(self) -> None:
        """End the workers; the zygote sees that its connection is closed, and tidies up."""
        for one in self.free:
            one.end()
        self.free = []
        self.control.close()


class Door:
    """What all connections share; `lock` guards it."""

    def __init__(self, nursery: socket.socket) -> None:
        self.lock = threading.Lock()
        self.loading = threading.Lock()
        self.nursery = nursery
        self.key = ""
        self.function = ""
        self.running_count = 0
        self.revisions: OrderedDict[str, Revision] = OrderedDict()
        self.retired: list[Revision] = []

    def answer(self, asked: wire.Asked) -> bytes:
        """Return the whole answer to a request."""
        if asked.path == "/healthz":
            return wire.answer_bytes(200, b"ok", TEXT)
        if asked.method != "POST":
            return wire.answer_bytes(405, b"POST /load or /line", TEXT)
        if not self._has_key(asked):
            return wire.answer_bytes(403, b"another key has loaded this instance", TEXT)
        if asked.path == "/load":
            return self._load(asked.body)
        if asked.path == "/line":
            return wire.answer_bytes(200, b"", TEXT)
        return wire.answer_bytes(404, b"nothing is here", TEXT)

    def _has_key(self, asked: wire.Asked) -> bool:
        given = asked.headers.get("cube-key", "")
        with self.lock:
            if not self.key and asked.path == "/load":
                self.key = given
            return bool(self.key) and hmac.compare_digest(self.key.encode(), given.encode())

    def _load(self, body: bytes) -> bytes:
        code, _ = wire.unpacked(body)
        name, function = code["revision"], code["function"]
        with self.loading:
            if self.function not in ("", function):
                return wire.answer_bytes(409, f"loaded for {self.function}".encode(), TEXT)
            self.function = function
            with self.lock:
                is_there = name in self.revisions
                if is_there:
                    self.revisions.move_to_end(name)
            if is_there:
                return wire.answer_bytes(200, json.dumps({"milliseconds": 0}).encode(), JSON)
            revision, said = self._begun(body)
            if revision is None:
                return wire.answer_bytes(422, json.dumps(said).encode(), JSON)
            with self.lock:
                self.revisions[name] = revision
                keep = code.get("keep", ())[:KEEP_MAX]
                for old in list(self.revisions)[:-REVISIONS_MAX]:
                    if old not in keep:
                        self._retire(self.revisions.pop(old))
            return wire.answer_bytes(200, json.dumps(said).encode(), JSON)

    def _begun(self, body: bytes) -> tuple[Revision | None, dict[str, Any]]:
        self.nursery.sendall(wire.packed({}))
        head, descriptors = receive_with_descriptors(self.nursery, 1)
        revision = Revision(head["pid"], socket.socket(fileno=descriptors[0]))
        try:
            revision.control.sendall(wire.packed({}, body))
            deadline_s = time.monotonic() + LOAD_S_MAX
            said, _ = wire.read_message(revision.control, 0, deadline_s)
        except wire.Late:
            kill_group(revision.number)
            said = {"failed": f"the code was not loaded within {LOAD_S_MAX:.0f} s"}
        except (wire.Ended, OSError):
            said = {"failed": "the process ended while it loaded the code"}
        if "failed" not in said:
            return revision, said
        revision.end()
        return None, said

    def _retire(self, revision: Revision) -> None:
        """End a revision once its calls have ended; the lock is held."""
        if revision.running_count == 0:
            revision.end()
        else:
            self.retired.append(revision)

    def call(self, called: wire.Called, client: socket.socket) -> bytes:
        """Run a call of a line; return its whole answer."""
        began_s = time.monotonic()
        with self.lock:
            revision = self.revisions.get(called.revision)
            if revision is None:
                return wire.answer_frame(wire.UNLOADED, b"", b"", b"", 0.0)
            if self.running_count >= called.places:
                return wire.answer_frame(wire.FULL, b"", b"", b"", 0.0)
            self.running_count += 1
            revision.running_count += 1
            own = revision.taken()
        try:
            head, payload, log, own = self._ran(revision, own, called, client)
        finally:
            with self.lock:
                self.running_count -= 1
                revision.running_count -= 1
                is_retired = revision in self.retired
                if own is not None and not is_retired:
                    revision.free.append(own)
                elif own is not None:
                    own.end()
                if is_retired and revision.running_count == 0:
                    self.retired.remove(revision)
                    revision.end()
        spent_ms = (time.monotonic() - began_s) * 1000
        return wire.answer_frame(wire.RAN, head, payload, log, spent_ms)

    def _ran(
        self,
        revision: Revision,
        own: Worker | None,
        called: wire.Called,
        client: socket.socket,
    ) -> tuple[bytes, bytes, bytes, Worker | None]:
        """Run a call; return head and body of its answer, its log, and a worker that is free."""
        try:
            own = own or revision.forked()
        except (wire.Ended, OSError):
            return ended_as("lost", "no process could be made"), b"", b"", None
        timeout_s = called.timeout_s
        said = wire.Said(own.pipe, LOG_BYTES_MAX)
        deadline_s = time.monotonic() + timeout_s
        payload = b""
        kept: Worker | None = own
        try:
            wire.send(own.connection, called.message, timeout_s)
            wire.await_readable(own.connection, said, own.pipe, deadline_s, client)
            head, payload = wire.read_raw(own.connection, worker.RESULT_BYTES_MAX, deadline_s)
        except (wire.Late, TimeoutError):
            text = f"the call took longer than {timeout_s:g} s and was ended"
            head, kept = ended_as("timeout", text), None
        except wire.Gone:
            head, kept = ended_as("lost", "nobody waits for the call"), None
        except (wire.Ended, wire.TooLarge, OSError):
            text = "the function's process ended before it answered (exit, crash or memory)"
            head, kept = ended_as("lost", text), None
        said.take()
        if kept is None:
            own.end()
        return head, payload, said.text.encode(), kept


def ended_as(outcome: str, why: str) -> bytes:
    """Return the head of an answer that the door gives in a worker's place."""
    return json.dumps({"outcome": outcome, "error": why}).encode()


def kill_group(number: int) -> None:
    try:
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended by itself


def receive_with_descriptors(
    connection: socket.socket, count: int
) -> tuple[dict[str, Any], list[int]]:
    """Receive a short message that carries descriptors. Raises: wire.Ended."""
    content, descriptors, _, _ = socket.recv_fds(connection, 4096, count)
    if not content or len(descriptors) != count:
        raise wire.Ended
    head, _ = wire.unpacked(content)
    return head, descriptors


def listen(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), backlog=CONNECTIONS_MAX)


def run(listener: socket.socket, nursery: socket.socket) -> None:
    """Answer until the nursery is gone."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    door = Door(nursery)
    # Printed for those that start it with port 0.
    sys.stdout.write(f"listening {listener.getsockname()[1]}\n")
    sys.stdout.flush()
    places = threading.Semaphore(CONNECTIONS_MAX)
    parent = os.getppid()
    listener.settimeout(1.0)
    while os.getppid() == parent:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        if not places.acquire(blocking=False):
            connection.close()
            continue
        threading.Thread(target=_serve, args=(door, connection, places), daemon=True).start()
    with door.lock:
        for revision in (*door.revisions.values(), *door.retired):
            revision.end()


def _serve(door: Door, connection: socket.socket, places: threading.Semaphore) -> None:
    try:
        with connection, connection.makefile("rb") as stream:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(IDLE_S_MAX)
            while True:
                try:
                    asked = wire.read_request(stream)
                except (wire.Ended, OSError):
                    return
                except (ValueError, wire.TooLarge) as error:
                    connection.sendall(wire.answer_bytes(400, str(error).encode(), TEXT))
                    return
                answer = door.answer(asked)
                connection.sendall(answer)
                if asked.path == "/line":
                    # Where it is none, what follows is still a call, and no request.
                    if answer.startswith(wire.GOOD):
                        _serve_line(door, connection, stream)
                    else:
                        _drop(connection)
                    return
    except OSError:
        return  # the client has gone
    finally:
        places.release()


def _drop(connection: socket.socket) -> None:
    """Read what still comes and forget it, so that the answer is heard. Raises: OSError."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(LINGER_S)
    deadline_s = time.monotonic() + LINGER_S
    while time.monotonic() < deadline_s and connection.recv(wire.READ_BYTES):
        pass


def _serve_line(door: Door, connection: socket.socket, stream: BinaryIO) -> None:
    """Run the calls of a line, until the other side ends it. Raises: OSError."""
    while True:
        try:
            called = wire.read_call(stream)
        except (wire.Ended, wire.TooLarge):
            return
        connection.sendall(door.call(called, connection))
