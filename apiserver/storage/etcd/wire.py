"""Our words into etcd's messages and back: pure translation, nothing is sent here."""

from collections.abc import Iterable, Sequence

from apiserver.storage.etcd import rpc_pb2 as rpc
from apiserver.storage.store import Change, Compare, Entry, Op, Outcome, Put

# etcd's way to say "every key": a range from the first possible key to no end.
ALL_KEYS = b"\0"


class PreviousMissing(Exception):
    """An event came without the entry before it: that entry is compacted already."""


def range_of(prefix: str, after: str = "") -> tuple[bytes, bytes]:
    """Return the first key and the end of the keys that begin with prefix and lie behind after."""
    begin = prefix.encode()
    # No byte of UTF-8 is 0xff, so the last one can always be raised by one.
    end = begin[:-1] + bytes([begin[-1] + 1]) if begin else ALL_KEYS
    if after:
        begin = max(begin, after.encode() + b"\0")
    return begin or ALL_KEYS, end


def get_request(key: str) -> rpc.RangeRequest:
    return rpc.RangeRequest(key=key.encode())


def list_request(prefix: str, *, revision: int, limit: int, after: str) -> rpc.RangeRequest:
    begin, end = range_of(prefix, after)
    return rpc.RangeRequest(key=begin, range_end=end, revision=revision, limit=limit)


def watch_request(prefix: str, *, start_revision: int) -> rpc.WatchRequest:
    begin, end = range_of(prefix)
    create = rpc.WatchCreateRequest(
        key=begin,
        range_end=end,
        start_revision=start_revision,
        prev_kv=True,
        progress_notify=True,
        fragment=True,
    )
    return rpc.WatchRequest(create_request=create)


def oldest_request() -> rpc.WatchRequest:
    """Return a watch that etcd refuses, telling its oldest revision, once it has compacted."""
    create = rpc.WatchCreateRequest(key=ALL_KEYS, start_revision=1)
    return rpc.WatchRequest(create_request=create)


def progress_request() -> rpc.WatchRequest:
    return rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())


def transaction(
    compares: Iterable[Compare], ops: Iterable[Op], *, tells_found: bool
) -> rpc.TxnRequest:
    """Return the transaction; with tells_found, a failed one answers with the entries found."""
    compares = tuple(compares)
    return rpc.TxnRequest(
        compare=[
            rpc.Compare(
                target=rpc.Compare.MOD, key=compare.key.encode(), mod_revision=compare.revision
            )
            for compare in compares
        ],
        success=[_request_op(op) for op in ops],
        failure=[
            rpc.RequestOp(request_range=get_request(compare.key))
            for compare in (compares if tells_found else ())
        ],
    )


def _request_op(op: Op) -> rpc.RequestOp:
    key = op.key.encode()
    if isinstance(op, Put):
        put = rpc.PutRequest(key=key, value=op.value, lease=op.lease)
        return rpc.RequestOp(request_put=put)
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


def outcome_of(answer: rpc.TxnResponse) -> Outcome:
    revision = answer.header.revision
    if answer.succeeded:
        return Outcome(True, revision)
    found = tuple(_first(each.response_range.kvs) for each in answer.responses)
    return Outcome(False, revision, found)


def entry_of(pair: rpc.KeyValue) -> Entry:
    return Entry(pair.key.decode(), pair.value, pair.mod_revision)


def found_in(answer: rpc.RangeResponse) -> Entry | None:
    return _first(answer.kvs)


def _first(pairs: Sequence[rpc.KeyValue]) -> Entry | None:
    return entry_of(pairs[0]) if pairs else None


def change_of(event: rpc.Event) -> Change:
    """Return the change that an event of a watch tells.

    Raises:
        PreviousMissing: the key existed before, but etcd no longer knows what it was.
    """
    pair = event.kv
    is_delete = event.type == rpc.Event.DELETE
    existed = is_delete or pair.create_revision != pair.mod_revision
    if existed and not event.HasField("prev_kv"):
        raise PreviousMissing(pair.key.decode())
    previous = entry_of(event.prev_kv) if existed else None
    value = None if is_delete else pair.value
    return Change(pair.key.decode(), pair.mod_revision, value, previous)
