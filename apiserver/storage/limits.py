"""What one transaction may hold, the same for every store: pure checks and named limits.

The figures are etcd's defaults (`--max-txn-ops`, `--max-request-bytes`), so that a store in memory
refuses what the real one would refuse.
"""

from collections.abc import Sequence

from apiserver.storage.store import Compare, Op, Put, TooLarge

TXN_OPS_MAX = 128
REQUEST_BYTES_MAX = 1_572_864

# What etcd's encoding adds to one compare or op: tags, lengths, the second mention of the key.
OVERHEAD_BYTES = 64


def check_transaction(compares: Sequence[Compare], ops: Sequence[Op]) -> None:
    """Refuse what no store would take.

    Raises:
        TooLarge: more compares, ops or bytes than a transaction may hold.
        ValueError: a key occurs in two ops; only a bug of the caller does that.
    """
    if max(len(compares), len(ops)) > TXN_OPS_MAX:
        raise TooLarge(
            f"{len(compares)} compares and {len(ops)} ops; at most {TXN_OPS_MAX} of each"
        )
    if len(ops) > 1 and len({op.key for op in ops}) < len(ops):
        raise ValueError("a key occurs in two ops of one transaction")
    size_bytes = request_bytes(compares, ops)
    if size_bytes > REQUEST_BYTES_MAX:
        raise TooLarge(f"about {size_bytes} bytes; at most {REQUEST_BYTES_MAX}")


def request_bytes(compares: Sequence[Compare], ops: Sequence[Op]) -> int:
    """Estimate the encoded size of a transaction; keys count as one byte a character."""
    size = (len(compares) + len(ops)) * OVERHEAD_BYTES
    size += sum(2 * len(compare.key) for compare in compares)
    for op in ops:
        size += len(op.key) + (len(op.value) if isinstance(op, Put) else 0)
    return size
