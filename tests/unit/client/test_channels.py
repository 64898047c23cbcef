"""The channels of exec: what is a message, and what a Status says of an exit code."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.api.bodies.envelopes import Cause, Status, StatusDetails
from cubernetes.api.coding import codec
from cubernetes.client.wire import channels, endings
from cubernetes.client.wire.channels import Channel, Frame, Misframed, Size
from cubernetes.client.wire.exitcodes import exit_code_in


@given(st.sampled_from(Channel), st.binary(max_size=40))
def test_a_message_is_read_as_it_was_made(channel: Channel, content: bytes) -> None:
    assert channels.frame_of(channels.message_of(channel, content)) == Frame(channel, content)


@given(st.binary(max_size=8))
def test_any_bytes_are_a_frame_or_misframed(message: bytes) -> None:
    try:
        frame = channels.frame_of(message)
    except Misframed:
        assert not message or message[0] not in {0, 1, 2, 3, 4, 255}
    else:
        assert bytes((frame.channel,)) + frame.content == message


def test_the_end_of_stdin_is_told_as_kubernetes_does() -> None:
    assert channels.closing(Channel.STDIN) == b"\xff\x00"
    assert channels.closed_channel(b"\x00") is Channel.STDIN


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x00\x00"])
def test_no_other_channel_can_be_closed(content: bytes) -> None:
    with pytest.raises(Misframed):
        channels.closed_channel(content)


def test_sizes_are_read_as_kubectl_writes_them() -> None:
    assert channels.size_of(b'{"Width":80,"Height":24}\n') == Size(80, 24)
    assert channels.size_message(Size(80, 24)) == b'\x04{"Width":80,"Height":24}'


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"Width":80}', b'{"Width":"80","Height":24}', b'{"Width":-1,"Height":24}',
     b'{"Width":80,"Height":10001}', b"[80,24]"],
)  # fmt: skip
def test_what_is_no_size_is_misframed(content: bytes) -> None:
    with pytest.raises(Misframed, match="Width"):
        channels.size_of(content)


@given(st.integers(0, 255))
def test_an_exit_code_survives_the_way(code: int) -> None:
    message = endings.status_message(endings.ended(code))
    frame = channels.frame_of(message)
    assert frame.channel is Channel.ERROR
    assert exit_code_in(frame.content) == code


def test_a_code_is_told_in_kubernetes_words() -> None:
    """kubectl knows a command's own failure by this reason and this cause, and no other."""
    told = msgspec.json.decode(codec.encode(endings.ended(3)))
    assert told["status"] == "Failure"
    assert told["reason"] == "NonZeroExitCode"
    assert told["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert msgspec.json.decode(codec.encode(endings.ended(0)))["status"] == "Success"


@pytest.mark.parametrize(
    "status",
    [
        Status(message="no", reason="InternalError", code=500),
        Status(reason="NonZeroExitCode"),
        Status(
            reason="NonZeroExitCode",
            details=StatusDetails(causes=(Cause(reason="ExitCode", message="x"),)),
        ),
        Status(
            reason="NonZeroExitCode",
            details=StatusDetails(causes=(Cause(reason="ExitCode", message="256"),)),
        ),
    ],
)
def test_what_is_not_the_commands_failure_is_no_exit_code(status: Status) -> None:
    assert exit_code_in(codec.encode(status)) is None


def test_success_is_known_in_the_words_of_kubernetes() -> None:
    assert exit_code_in(b'{"metadata":{},"status":"Success"}') == 0


WORDS = (
    *("status", "Success", "reason", "NonZeroExitCode", "details", "causes", "ExitCode"),
    *("message", "3", "999"),
)
TREES = st.recursive(
    st.none() | st.integers() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner),
)


@given(st.binary() | TREES.map(msgspec.json.encode))
def test_whatever_comes_as_a_status_is_a_code_or_none(content: bytes) -> None:
    assert exit_code_in(content) in (None, *range(256))


def test_what_is_no_status_is_misframed() -> None:
    with pytest.raises(Misframed, match="Status"):
        endings.status_in(b"no")


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=5), st.integers(1, 9))
def test_sizes_are_cut_into_lines_whatever_pieces_they_come_in(
    sizes: list[tuple[int, int]], step: int
) -> None:
    wanted = [channels.Size(*size) for size in sizes]
    text = b"".join(channels.size_message(size)[1:] + b"\n" for size in wanted)
    lines = channels.SizeLines()
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    assert [channels.size_of(line) for piece in pieces for line in lines.feed(piece)] == wanted


def test_a_size_without_an_end_is_no_size() -> None:
    with pytest.raises(channels.Misframed, match="a size has over"):
        list(channels.SizeLines().feed(b"1" * 1000))
