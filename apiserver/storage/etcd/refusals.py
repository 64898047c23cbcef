"""What etcd's errors mean for us: a code, a sentence, and whether it was a write decide. Pure."""

from apiserver.storage.store import (
    Compacted,
    FutureRevision,
    LeaseEnded,
    StorageFull,
    StoreError,
    TooLarge,
    Unavailable,
    WriteInDoubt,
)

# etcd tells these apart by sentence only; the code beside each is shared with others.
REASONS: tuple[tuple[str, type[StoreError]], ...] = (
    ("database space exceeded", StorageFull),
    ("request is too large", TooLarge),
    ("too many operations in txn request", TooLarge),
    ("larger than max", TooLarge),
    ("future revision", FutureRevision),
    ("too many requests", Unavailable),
)

# UNAVAILABLE with one of these was said before the request reached etcd's log: it did not happen.
NEVER_SENT = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "dns resolution failed",
    "etcdserver: no leader",
    "etcdserver: not capable",
)

# With these codes a server has read the request and refused it: nothing was changed.
REFUSED = frozenset({
    "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED", "UNAUTHENTICATED", "DATA_LOSS",
})  # fmt: skip


def refusal(code: str, said: str, *, is_write: bool) -> StoreError:
    """Return the error for a gRPC status: its code's name and its sentence.

    A read that failed is Unavailable, whatever cut it off. A write that failed is Unknown unless
    it is certain that it was never carried out. Compacted has revision 0: etcd does not say it.
    """
    sentence = said.lower()
    if "has been compacted" in sentence:
        return Compacted(0)
    if "requested lease not found" in sentence:
        return LeaseEnded(said)
    for words, reason in REASONS:
        if words in sentence:
            return reason(said)
    if code in REFUSED:
        return StoreError(f"{code}: {said}")
    if is_write and not is_never_sent(code, sentence):
        return WriteInDoubt(f"{code}: {said}")
    return Unavailable(f"{code}: {said}")


def is_never_sent(code: str, said: str) -> bool:
    """Tell whether a failed call is known not to have reached etcd's log."""
    sentence = said.lower()
    return code == "UNAVAILABLE" and any(words in sentence for words in NEVER_SENT)
