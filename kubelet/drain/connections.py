"""Connections that are in flight to a pod, told from its kernel's tables. Pure.

The tables are /proc/PID/net/tcp and tcp6 of a process in the pod's network namespace: a row for
each socket, addresses as hexadecimal words in the order of this machine's bytes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

ESTABLISHED, SYN_RECEIVED, LISTEN = 0x01, 0x03, 0x0A
# FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING: over, but for what has not been sent yet.
CLOSING = frozenset({0x04, 0x08, 0x09, 0x0B})
WORDS_MIN = 5


class Row(NamedTuple):
    """One socket of a table."""

    address: str
    port: int
    state: int
    unsent_bytes: int


def in_flight(
    tables: Iterable[str], declared: frozenset[int] = frozenset(), *, is_shared: bool = False
) -> int:
    """Return how many connections from outside the pod are open, or still send.

    They are at the ports that the pod listens on, and at those that it declares; at the declared
    alone where others share its network (is_shared).
    """
    rows = [row for table in tables for row in rows_of(table)]
    listening = {row.port for row in rows if row.state == LISTEN}
    ports = declared if is_shared else declared | listening
    return sum(row.port in ports and not is_loopback(row.address) and _is_open(row) for row in rows)


def rows_of(table: str) -> Iterator[Row]:
    """Yield the sockets of a table; what is no row is passed over: its heading, a cut line."""
    for line in table.splitlines():
        words = line.split()
        if len(words) < WORDS_MIN:
            continue
        address, colon, port = words[1].partition(":")
        unsent = words[4].partition(":")[0]
        try:
            row = Row(address, int(port, 16), int(words[3], 16), int(unsent, 16))
        except ValueError:
            continue
        if colon:
            yield row


def is_loopback(address: str) -> bool:
    """Whether an address of a table is 127.0.0.0/8, the same in IPv6's clothes, or ::1."""
    if len(address) == 8:
        return address.endswith("7F")
    mapped = "0000000000000000FFFF0000"
    return address == "0" * 24 + "01000000" or (
        address.startswith(mapped) and address.endswith("7F")
    )


def _is_open(row: Row) -> bool:
    is_sending = row.state in CLOSING and row.unsent_bytes > 0
    return row.state in (ESTABLISHED, SYN_RECEIVED) or is_sending
