"""What a look costs when nothing changed: no command, where the kernel tells a generation."""

import struct
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.packetfilter.generation import answer_in, question
from cubernetes.host.packetfilter.iptables import NFT, Iptables
from proxy.services.compile import OWNER, rules_for
from tests.given import a_service, a_slice
from tests.papernet import PaperNet
from tests.unit.proxy.services.clusters import FACTS

WANTED = rules_for([a_service()], [a_slice(addresses=["10.244.1.2"])], FACTS)
SAVE = ("iptables-nft-save",)


class Numbered(PaperNet):
    """A packet filter whose every change has a number."""

    number = 1

    def restore(self, text: str, *, tables_limit: int | None = None) -> None:
        super().restore(text, tables_limit=tables_limit)
        self.number += 1

    def flush(self) -> None:
        """Somebody else empties a chain."""
        self.tables["nat"]["PREROUTING"].clear()
        self.number += 1


def rules_of(net: Numbered) -> Iptables:
    return Iptables(net, NFT, OWNER, lambda: net.number)


async def test_a_look_at_rules_that_nobody_changed_runs_no_command() -> None:
    net = Numbered()
    rules = rules_of(net)
    await rules.apply(WANTED)
    await rules.check(WANTED)
    net.ran.clear()
    for _ in range(5):
        assert not (await rules.check(WANTED)).is_written

    assert net.ran == []


async def test_a_change_by_somebody_else_is_seen_and_repaired() -> None:
    net = Numbered()
    rules = rules_of(net)
    await rules.apply(WANTED)
    await rules.check(WANTED)
    await rules.check(WANTED)
    net.flush()

    assert (await rules.check(WANTED)).is_written
    assert net.tables["nat"]["PREROUTING"] == ["-j CUBE-SERVICES"]
    # Not trusted before it was looked at once: another may have come in between.
    net.ran.clear()
    await rules.check(WANTED)
    assert net.ran == [SAVE]
    await rules.check(WANTED)
    assert net.ran == [SAVE]


async def test_a_change_between_the_question_and_the_reading_is_seen_by_the_next_look() -> None:
    net = Numbered()
    numbers = count()
    rules = Iptables(net, NFT, OWNER, lambda: next(numbers))
    await rules.apply(WANTED)
    await rules.check(WANTED)
    net.flush()

    assert (await rules.check(WANTED)).is_written


async def test_where_there_is_no_generation_every_look_reads() -> None:
    net = PaperNet()
    rules = Iptables(net, NFT, OWNER)
    await rules.apply(WANTED)
    net.ran.clear()
    for _ in range(3):
        await rules.check(WANTED)

    assert net.ran == [SAVE] * 3


def test_the_question_is_one_small_message() -> None:
    assert len(question()) == 20
    assert struct.unpack_from("=IH", question()) == (20, 0x0A10)


def test_an_answer_is_read_past_what_stands_before_the_number() -> None:
    head = b"\0" * 20
    other = struct.pack("=HH", 7, 3) + b"abc\0"
    number = struct.pack("=HH", 8, 1) + struct.pack("!I", 4711)

    assert answer_in(head + number) == 4711
    assert answer_in(head + other + number) == 4711
    assert answer_in(head + other) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_an_answer_or_none(message: bytes) -> None:
    found = answer_in(message)

    assert found is None or 0 <= found < 2**32
