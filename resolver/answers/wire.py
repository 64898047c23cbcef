"""The bytes of a question read, the bytes of an answer built (RFC 1035, 6891). Pure.

Whatever arrives is a Query, a Refusal (an answer that says what is wrong with it), or nothing at
all that deserves an answer; no input raises.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from resolver.answers.records import ANY, IN, LABEL_BYTES_MAX, NAME_BYTES_MAX, OPT, Entries, Labels

HEADER_BYTES = 12
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSIVE, AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
CHECKING_DISABLED = 0x0010
DNSSEC_OK = 0x8000
# What is taken back from a question's flags: its opcode, RD and CD.
_ECHOED = 0x7800 | RECURSIVE | CHECKING_DISABLED
# Without EDNS a datagram has at most so many bytes; TCP's length has two bytes.
DATAGRAM_BYTES, MESSAGE_BYTES_MAX = 512, 65535
# What we take, and tell: such datagrams are not fragmented anywhere (DNS flag day 2020).
EDNS_BYTES = 1232
# What a client may ask a datagram to have at most: more would only be fragmented.
EDNS_BYTES_MAX = 4096
RECORDS_MAX = 16  # in the additional section of a question: one is usual

_COUNTS = struct.Struct("!HHHH")
_TAIL = struct.Struct("!HH")
_FIXED = struct.Struct("!HHIH")


class Query(NamedTuple):
    """One question. labels are lower case; end is where its question section ends.

    size_bytes: of the longest datagram that its client takes. has_edns, is_dnssec: what its OPT
    record says.
    """

    message: bytes
    labels: Labels
    kind: int
    end: int
    flags: int
    size_bytes: int = DATAGRAM_BYTES
    has_edns: bool = False
    is_dnssec: bool = False

    @property
    def question(self) -> bytes:
        """Return the question section, as it was spelt."""
        return self.message[HEADER_BYTES : self.end]


class Refusal(NamedTuple):
    """The answer to a message that is no question of ours."""

    answer: bytes


class Sections(NamedTuple):
    """What an answer holds. authority is one record or nothing.

    onwards: the name of others that the last of the entries, an alias, leads to.
    """

    code: int = NOERROR
    entries: Entries = ()
    authority: bytes = b""
    is_authoritative: bool = True
    onwards: Labels = ()


def parsed(message: bytes) -> Query | Refusal | None:
    """Return the question of a message; None where an answer would only make things worse."""
    if len(message) < HEADER_BYTES or message[2] & 0x80:
        return None
    flags = message[2] << 8 | message[3]
    question_count, answer_count, authority_count, other_count = _COUNTS.unpack_from(message, 4)
    if flags & 0x7800:
        return _refused(message, flags, NOTIMP)
    if question_count != 1 or answer_count or authority_count or other_count > RECORDS_MAX:
        return _refused(message, flags, FORMERR)
    name = name_at(message, HEADER_BYTES)
    if name is None or name[1] + 4 > len(message):
        return _refused(message, flags, FORMERR)
    labels, after = name
    kind, record_class = _TAIL.unpack_from(message, after)
    query = Query(message, labels, kind, after + 4, flags)
    if other_count:
        return _with_edns(query, other_count, record_class)
    return query if record_class in (IN, ANY) else Refusal(built(query, Sections(REFUSED)))


def name_at(message: bytes, start: int) -> tuple[Labels, int] | None:
    """Return the labels of an uncompressed name, lower case, and where it ends."""
    labels: list[bytes] = []
    place, length = start, len(message)
    while place < length and place - start < NAME_BYTES_MAX:
        size = message[place]
        if size == 0:
            return tuple(labels), place + 1
        if size > LABEL_BYTES_MAX:
            return None
        labels.append(message[place + 1 : place + 1 + size].lower())
        place += size + 1
    return None


def _with_edns(query: Query, other_count: int, record_class: int) -> Query | Refusal:
    """Read the additional section, of which OPT alone is heeded."""
    message, place, found = query.message, query.end, None
    for _ in range(other_count):
        name = name_at(message, place)
        if name is None or name[1] + _FIXED.size > len(message):
            return _refused(message, query.flags, FORMERR)
        kind, size_bytes, extended, content_bytes = _FIXED.unpack_from(message, name[1])
        place = name[1] + _FIXED.size + content_bytes
        if place > len(message) or (kind == OPT and (found is not None or name[0])):
            return _refused(message, query.flags, FORMERR)
        if kind == OPT:
            found = (size_bytes, extended)
    if found is not None:
        size_bytes = min(max(found[0], DATAGRAM_BYTES), EDNS_BYTES_MAX)
        is_dnssec = bool(found[1] & DNSSEC_OK)
        query = query._replace(size_bytes=size_bytes, has_edns=True, is_dnssec=is_dnssec)
        if found[1] >> 16 & 0xFF:
            return Refusal(built(query, Sections(BADVERS)))
    return query if record_class in (IN, ANY) else Refusal(built(query, Sections(REFUSED)))


def _refused(message: bytes, flags: int, code: int) -> Refusal:
    """Answer with the header alone: what follows could not be read."""
    return Refusal(message[:2] + (RESPONSE | flags & _ECHOED | code).to_bytes(2) + bytes(8))


def opt_record(code: int = NOERROR, *, is_dnssec: bool = False) -> bytes:
    """Return our OPT record; the upper bits of a response code stand in it."""
    extended = (code >> 4) << 24 | (DNSSEC_OK if is_dnssec else 0)
    return b"\0" + _FIXED.pack(OPT, EDNS_BYTES, extended, 0)


def built(query: Query, sections: Sections, size_bytes: int = 0) -> bytes:
    """Return the answer to a query. size_bytes: what it may have at most, 0 is any size.

    What does not fit loses its additional records first, then its last answers, with the bit that
    tells the client to ask again by TCP.
    """
    limit = min(size_bytes or MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)
    opt = opt_record(sections.code, is_dnssec=query.is_dnssec) if query.has_edns else b""
    answers = [entry.answer for entry in sections.entries]
    others = [one for entry in sections.entries for one in entry.additional]
    fixed = query.end + len(opt) + len(sections.authority)
    used = fixed + sum(map(len, answers))
    if others and used + sum(map(len, others)) > limit:
        others = []
    is_cut = used > limit
    if is_cut:
        answers = _fitting(answers, limit - fixed)
    flags = RESPONSE | query.flags & _ECHOED | AVAILABLE | sections.code & 0xF
    flags |= AUTHORITATIVE if sections.is_authoritative else 0
    flags |= TRUNCATED if is_cut else 0
    authority_count = 1 if sections.authority else 0
    counts = (1, len(answers), authority_count, len(others) + bool(opt))
    head = query.message[:2] + flags.to_bytes(2) + _COUNTS.pack(*counts)
    return b"".join((head, query.question, *answers, sections.authority, *others, opt))


def _fitting(answers: Sequence[bytes], room: int) -> list[bytes]:
    fitting: list[bytes] = []
    for answer in answers:
        room -= len(answer)
        if room < 0:
            break
        fitting.append(answer)
    return fitting
