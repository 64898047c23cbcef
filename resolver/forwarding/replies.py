"""What a name server replied: read, checked against its question, and given to others. Pure."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from resolver.answers.records import CNAME, NS, OPT, PTR, SOA, SRV, Entry, Labels, packed_name
from resolver.answers.wire import (
    CHECKING_DISABLED,
    HEADER_BYTES,
    NOERROR,
    NXDOMAIN,
    RECURSIVE,
    TRUNCATED,
    Query,
    opt_record,
)

# What is kept is asked again after this, whatever its owner says.
KEPT_S_MAX = 300
RECORDS_MAX = 4000
NAME_STEPS_MAX = 128  # labels and pointers of one name

_FIXED = struct.Struct("!HHIH")
_COUNTS = struct.Struct("!HHHH")
_NAMED = frozenset({CNAME, NS, PTR, SOA, SRV, 15, 35, 39})  # their content holds names


class ReplyRecord(NamedTuple):
    """One record of a reply. start: of its content. section: 0 answer, 1 authority, 2 other."""

    owner: Labels
    kind: int
    ttl_s: int
    ttl_at: int
    start: int
    size: int
    section: int


class Reply(NamedTuple):
    """A reply that answers its question. kept_s: how long it may be kept, 0 is not at all."""

    message: bytes
    end: int
    code: int
    kept_s: int
    ttls_at: tuple[int, ...]
    is_truncated: bool


def question_for(query: Query, number: int) -> bytes:
    """Return what is asked of a name server: the question alone, under a number of our own.

    A client's other options (cookies, its subnet) stay here.
    """
    flags = query.flags & (RECURSIVE | CHECKING_DISABLED)
    head = number.to_bytes(2) + flags.to_bytes(2) + _COUNTS.pack(1, 0, 0, int(query.has_edns))
    opt = opt_record(is_dnssec=query.is_dnssec) if query.has_edns else b""
    return head + query.question + opt


def key_of(query: Query, *, is_stream: bool) -> bytes:
    """Return what two questions share that have the same reply."""
    marks = (query.flags & (RECURSIVE | CHECKING_DISABLED)) | query.has_edns << 1
    marks |= query.is_dnssec << 2 | is_stream << 3
    return marks.to_bytes(2) + query.question[:-4].lower() + query.question[-4:]


def reply_in(message: bytes, question: bytes) -> Reply | None:
    """Return the reply to a question that was sent, None where the message is not that."""
    if len(message) < HEADER_BYTES or message[:2] != question[:2] or not message[2] & 0x80:
        return None
    end = name_end(question, HEADER_BYTES) + 4
    asked = question[HEADER_BYTES:end]
    if _COUNTS.unpack_from(message, 4)[0] != 1:
        return None
    if message[HEADER_BYTES:end].lower() != asked.lower():
        return None
    try:
        found = list(records_in(message, end))
    except (ValueError, struct.error):
        return None
    flags = message[2] << 8 | message[3]
    code = flags & 0xF
    is_truncated = bool(flags & TRUNCATED)
    kept_s = 0 if is_truncated else _kept_s(message, code, found)
    ttls_at = tuple(one.ttl_at for one in found if one.kind != OPT)
    return Reply(message, end, code, kept_s, ttls_at, is_truncated)


def _kept_s(message: bytes, code: int, found: list[ReplyRecord]) -> int:
    """Return how long a reply may be kept: by its records, or its SOA where it has no answer."""
    answers = [one for one in found if one.section == 0]
    if code == NOERROR and answers:
        ttls_s = [one.ttl_s for one in found if one.kind != OPT]
        return min([*ttls_s, KEPT_S_MAX])
    if code not in (NOERROR, NXDOMAIN):
        return 0
    for one in found:
        if one.section == 1 and one.kind == SOA and one.size >= 20:
            minimum_s = int.from_bytes(message[one.start + one.size - 4 : one.start + one.size])
            return min(one.ttl_s, minimum_s, KEPT_S_MAX)
    return 0


def given_to(query: Query, reply: Reply, age_s: int, size_bytes: int = 0) -> bytes:
    """Return a reply as the answer to a query of the same key: its number, its spelling, its age.

    size_bytes: what the answer may have at most; else it says that it is cut. 0 is any size.
    """
    message = reply.message
    if size_bytes and len(message) > size_bytes:
        flags = int.from_bytes(message[2:4]) | TRUNCATED
        opt = opt_record(is_dnssec=query.is_dnssec) if query.has_edns else b""
        counts = _COUNTS.pack(1, 0, 0, int(query.has_edns))
        return query.message[:2] + flags.to_bytes(2) + counts + query.question + opt
    answer = bytearray(message)
    answer[:2] = query.message[:2]
    answer[HEADER_BYTES : reply.end] = query.question
    for place in reply.ttls_at if age_s else ():
        left_s = max(0, int.from_bytes(answer[place : place + 4]) - age_s)
        answer[place : place + 4] = left_s.to_bytes(4)
    return bytes(answer)


def entries_of(reply: Reply) -> Iterator[Entry]:
    """Yield the records of a reply's answer with their names in full, for another message.

    What holds names in a way that is not understood is left out.
    """
    for one in records_in(reply.message, reply.end):
        if one.section != 0:
            continue
        content = reply.message[one.start : one.start + one.size]
        if one.kind == CNAME:
            content = packed_name(name_at(reply.message, one.start)[0])
        elif one.kind in _NAMED:
            continue
        fixed = _FIXED.pack(one.kind, 1, one.ttl_s, len(content))
        yield Entry(packed_name(one.owner) + fixed + content)


def records_in(message: bytes, place: int) -> Iterator[ReplyRecord]:
    """Yield every record behind the question section. Raises: ValueError, struct.error."""
    counts = _COUNTS.unpack_from(message, 4)[1:]
    if sum(counts) > RECORDS_MAX:
        raise ValueError("more records than a message of ours would hold")
    for section, count in enumerate(counts):
        for _ in range(count):
            owner, place = name_at(message, place)
            kind, _, ttl_s, size = _FIXED.unpack_from(message, place)
            start = place + _FIXED.size
            if start + size > len(message):
                raise ValueError("a record ends behind its message")
            yield ReplyRecord(owner, kind, ttl_s, place + 4, start, size, section)
            place = start + size


def name_end(message: bytes, place: int) -> int:
    return name_at(message, place)[1]


def name_at(message: bytes, place: int) -> tuple[Labels, int]:
    """Return a name that may be compressed, and where it ends.

    Raises: ValueError: it ends behind the message, or never.
    """
    labels: list[bytes] = []
    end = 0
    for _ in range(NAME_STEPS_MAX):
        if place >= len(message):
            break
        size = message[place]
        if size & 0xC0 == 0xC0 and place + 1 < len(message):
            end = end or place + 2
            place = (size & 0x3F) << 8 | message[place + 1]
        elif size > 63:
            break
        elif size == 0:
            return tuple(labels), end or place + 1
        else:
            labels.append(message[place + 1 : place + 1 + size])
            place += size + 1
    raise ValueError("a name without an end")
