"""Which waiting commits may share one transaction: a pure decision.

One transaction of many puts costs etcd and us a fraction of as many transactions. Commits may
share one if none writes a key that another compares or writes: then the joint transaction, if its
compares hold, means exactly what the commits mean one after another, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apiserver.storage.limits import request_bytes
from apiserver.storage.store import Compare, Op

# Compares and ops of a joint transaction, together: half of what etcd takes of each.
BATCH_STEPS_MAX = 64
# A joint transaction stays far below what etcd takes at once.
BATCH_BYTES_MAX = 512 * 1024


@dataclass(frozen=True, slots=True)
class Proposal:
    """One caller's transaction."""

    compares: tuple[Compare, ...]
    ops: tuple[Op, ...]

    @property
    def step_count(self) -> int:
        return len(self.compares) + len(self.ops)


def batches_of(proposals: Sequence[Proposal]) -> list[list[int]]:
    """Return places in proposals, grouped so that each group may share one transaction.

    Proposals are taken in order, each into the newest group if it fits there, else into a new
    one. One that is too large for any company is alone.
    """
    groups: list[list[int]] = []
    room = _Room()
    for place, proposal in enumerate(proposals):
        if not groups or not room.takes(proposal):
            groups.append([])
            room = _Room()
        room.add(proposal)
        groups[-1].append(place)
    return groups


class _Room:
    """What is left of the transaction that is being filled."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._written: set[str] = set()
        self._steps = 0
        self._bytes = 0

    def takes(self, proposal: Proposal) -> bool:
        if self._steps + proposal.step_count > BATCH_STEPS_MAX:
            return False
        size_bytes = request_bytes(proposal.compares, proposal.ops)
        if self._bytes + size_bytes > BATCH_BYTES_MAX:
            return False
        if any(compare.key in self._written for compare in proposal.compares):
            return False
        return not any(op.key in self._written or op.key in self._read for op in proposal.ops)

    def add(self, proposal: Proposal) -> None:
        self._steps += proposal.step_count
        self._bytes += request_bytes(proposal.compares, proposal.ops)
        self._read.update(compare.key for compare in proposal.compares)
        self._written.update(op.key for op in proposal.ops)


def joined(proposals: Sequence[Proposal]) -> Proposal:
    """Return the one proposal that stands for all of a group."""
    return Proposal(
        tuple(compare for each in proposals for compare in each.compares),
        tuple(op for each in proposals for op in each.ops),
    )
