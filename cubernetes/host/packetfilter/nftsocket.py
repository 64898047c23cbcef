"""The nf_tables of this machine's kernel, over netlink: one transaction, and what a table holds.

Every call blocks for as long as the kernel works on it: milliseconds for a change, a second for a
table of hundreds of thousands of elements. A socket belongs to the network namespace in which it
was made.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from cubernetes.host.packetfilter import nfnetlink as wire
from cubernetes.host.packetfilter.nfnetlink import Answer, Message, text
from cubernetes.host.packetfilter.nftables import (
    ElementKey,
    Hook,
    TableState,
    Value,
    comment_in,
    elements_in,
)

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _CAP_ACK = 270, 10
_SNDBUFFORCE, _RCVBUFFORCE = 32, 33
TIMEOUT_S = 20.0
# The generation is told without waiting for anything: this much is for a kernel that is stuck.
LOOK_TIMEOUT_S = 1.0
SEND_BYTES_MAX = 256 * 1024 * 1024
RECEIVE_BYTES = 256 * 1024
# A dump that somebody's change cut into is begun again this often.
DUMPS_MAX = 8
_INTERRUPTED = 0x10
_LAST = 0x7FFFFFFF  # the number of the question after a batch


class TransactionRefused(OSError):
    """The kernel did not do a transaction, or did not answer a question; nothing was changed."""


def netfilter_socket() -> socket.socket:
    """Return a socket to the packet filter of the caller's network namespace."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)


class NftSocket:
    """Keeps its sockets: the kernel lets a program that closes one wait for its own last change.

    Not to be used by two tasks at once, but for `others_generation`.
    """

    def __init__(self, opened: Callable[[], socket.socket] = netfilter_socket) -> None:
        self._working, self._looking = _Kept(opened, TIMEOUT_S), _Kept(opened, LOOK_TIMEOUT_S)
        self._commit_count = 0

    def others_generation(self) -> int:
        """Return a number that moves with every change of the rules but ours. Raises: OSError."""
        with self._looking.used() as asking:
            return _generation(asking) - self._commit_count

    def transact(self, messages: Sequence[Message]) -> None:
        """Have all messages done, or none. Raises: Refused, OSError."""
        content = wire.batch(messages)
        if len(content) > SEND_BYTES_MAX:
            raise TransactionRefused(errno.EMSGSIZE, f"a transaction of {len(content)} bytes")
        with self._working.used() as asking:
            if len(content) > RECEIVE_BYTES // 2:
                asking.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, 2 * len(content))
            before = _generation(asking)
            asking.sendto(content, (0, 0))
            try:
                after = _generation(asking)
            except _Failed as failed:
                raise _refusal(failed, messages) from failed
            # Somebody else's change in between counts as theirs.
            self._commit_count += int(after != before)

    def read(self, table: str, sets: Iterable[str]) -> TableState | None:
        """Return what a table holds, elements of these sets included; None: there is none."""
        for _ in range(DUMPS_MAX):
            try:
                return self._read(table, sets)
            except _Torn:
                continue
        raise TransactionRefused(errno.EAGAIN, f"the rules changed under {DUMPS_MAX} readings")

    def has(self, table: str) -> bool:
        """Tell whether there is such a table. Raises: OSError."""
        with self._working.used() as asking:
            return _has(asking, table)

    def _read(self, table: str, sets: Iterable[str]) -> TableState | None:
        with self._working.used() as asking:
            before = _generation(asking)
            if not _has(asking, table):
                return None
            of_table = text(1, table)
            chains = {
                name: hook
                for one in _dump(asking, wire.GET_CHAIN, b"")
                for owner, name, hook in (_chain_in(one.body),)
                if owner == table
            }
            comments: dict[str, list[str]] = {}
            for one in _dump(asking, wire.GET_RULE, of_table):
                parts = wire.attributes_in(one.body, wire.GENMSG.size)
                if wire.text_in(parts.get(1, b"")) == table:
                    said = comments.setdefault(wire.text_in(parts.get(2, b"")), [])
                    said.append(comment_in(parts.get(7, b"")))
            there = {
                wire.text_in(wire.attributes_in(one.body, wire.GENMSG.size).get(2, b""))
                for one in _dump(asking, wire.GET_SET, of_table)
            }
            elements: dict[ElementKey, Value] = {}
            for name in sets:
                if name in there:
                    question = of_table + text(2, name)
                    for one in _dump(asking, wire.GET_ELEMENTS, question):
                        elements.update(elements_in(name, one.body))
            if _generation(asking) != before:
                raise _Torn
        held = {name: (hook, tuple(comments.get(name, ()))) for name, hook in chains.items()}
        return TableState(held, frozenset(there), elements)


class _Kept:
    """A socket that is opened once, and anew after a failure: answers of before die with it."""

    def __init__(self, opened: Callable[[], socket.socket], timeout_s: float) -> None:
        self._socket: socket.socket | None = None
        self._opened, self._timeout_s = opened, timeout_s

    @contextmanager
    def used(self) -> Iterator[socket.socket]:
        if self._socket is None:
            self._socket = self._opened()
            self._socket.settimeout(self._timeout_s)
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 4 * RECEIVE_BYTES)
        try:
            yield self._socket
        except BaseException:
            self.close()
            raise

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _has(asking: socket.socket, table: str) -> bool:
    tables = _dump(asking, wire.GET_TABLE, b"")
    return any(
        wire.text_in(wire.attributes_in(one.body, wire.GENMSG.size).get(1, b"")) == table
        for one in list(tables)
    )


def _generation(asking: socket.socket) -> int:
    """Return the generation, once the kernel has done what was sent before. Raises: _Failed."""
    asking.sendto(wire.packed(Message(wire.GET_GENERATION, 0, b""), _LAST), (0, 0))
    failed: _Failed | None = None
    while True:
        for answer in wire.answers_in(asking.recv(RECEIVE_BYTES)):
            if answer.kind == wire.ERROR and (code := wire.error_in(answer)):
                failed = failed or _Failed(code, answer.sequence)
            if answer.sequence == _LAST:
                if failed:
                    raise failed
                told = wire.attributes_in(answer.body, wire.GENMSG.size).get(1, bytes(4))
                return int(struct.unpack("!I", told)[0])


class _Failed(OSError):
    """The kernel reported an error for the message of this number."""

    def __init__(self, code: int, sequence: int) -> None:
        super().__init__(code, os.strerror(code))
        self.sequence = sequence


class _Torn(Exception):
    """Somebody changed the rules while they were read."""


def _refusal(failed: _Failed, messages: Sequence[Message]) -> TransactionRefused:
    at = failed.sequence - 1
    which = f"message {failed.sequence} of {len(messages)}"
    if 0 <= at < len(messages):
        parts = [wire.text_in(one) for _, one in wire.each_attribute(messages[at].body[:80])][:2]
        which += f", kind {messages[at].kind}, {' '.join(parts)}"
    return TransactionRefused(failed.errno, f"{os.strerror(failed.errno or 0)}: {which}")


def _dump(asking: socket.socket, kind: int, body: bytes) -> Iterator[Answer]:
    asking.sendto(wire.packed(Message(kind, wire.DUMP, body), 1), (0, 0))
    while True:
        for answer in wire.answers_in(asking.recv(RECEIVE_BYTES)):
            if answer.flags & _INTERRUPTED:
                raise _Torn
            if answer.kind in (wire.ERROR, wire.DONE):
                if code := wire.error_in(answer):
                    raise TransactionRefused(code, os.strerror(code))
                return
            yield answer


def _chain_in(body: bytes) -> tuple[str, str, Hook | None]:
    parts = wire.attributes_in(body, wire.GENMSG.size)
    place = wire.attributes_in(parts.get(4, b""))
    hook = None
    if place:
        number, priority = (struct.unpack("!i", place.get(one, bytes(4)))[0] for one in (1, 2))
        hook = Hook(wire.text_in(parts.get(7, b"")), number, priority)
    return wire.text_in(parts.get(1, b"")), wire.text_in(parts.get(3, b"")), hook
