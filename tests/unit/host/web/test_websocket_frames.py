"""Frames of WebSockets, as a client writes and reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubernetes.host.web.websocket.frames import Malformed, Message, Opcode, Reader, frame_of

LENGTHS = (0, 1, 125, 126, 65_535, 65_536, 200_000)
MESSAGES = st.lists(
    st.tuples(st.sampled_from((Opcode.BINARY, Opcode.TEXT)), st.binary(max_size=400)), max_size=6
)


def a_frame(opcode: int, content: bytes, *, is_last: bool = True, second: int = 0) -> bytes:
    """Return a frame as a server writes it."""
    first = opcode | (0x80 if is_last else 0)
    size_bytes = len(content)
    if size_bytes < 126:
        return bytes((first, second | size_bytes)) + content
    if size_bytes < 65_536:
        return bytes((first, second | 126)) + size_bytes.to_bytes(2) + content
    return bytes((first, second | 127)) + size_bytes.to_bytes(8) + content


@given(messages=MESSAGES, size_bytes=st.integers(1, 500))
def test_what_comes_in_pieces_of_any_size_is_read_as_it_was_sent(
    messages: list[tuple[Opcode, bytes]], size_bytes: int
) -> None:
    sent = b"".join(a_frame(*message) for message in messages)
    reader, read = Reader(), list[Message]()

    for at in range(0, len(sent), size_bytes):
        read += reader.feed(sent[at : at + size_bytes])

    assert read == [Message(*message) for message in messages]


@pytest.mark.parametrize("size_bytes", LENGTHS)
def test_each_form_of_a_length_is_written_and_read(size_bytes: int) -> None:
    content = b"x" * size_bytes
    written = frame_of(Opcode.BINARY, content)
    head_bytes = len(written) - 4 - size_bytes

    assert written[1] & 0x80, "a client's frame has a key"
    assert written[head_bytes : head_bytes + 4] == bytes(4)
    unmasked = bytes((written[0], written[1] & 0x7F)) + written[2:head_bytes] + content
    assert unmasked == a_frame(Opcode.BINARY, content)
    assert Reader().feed(unmasked) == [Message(Opcode.BINARY, content)]


def test_a_ping_between_the_frames_of_a_message_is_a_message_of_its_own() -> None:
    sent = (
        a_frame(Opcode.BINARY, b"one ", is_last=False)
        + a_frame(Opcode.PING, b"there?")
        + a_frame(Opcode.CONTINUATION, b"two ", is_last=False)
        + a_frame(Opcode.CONTINUATION, b"three")
    )

    read = Reader().feed(sent + a_frame(Opcode.TEXT, b"four"))

    assert read == [
        Message(Opcode.PING, b"there?"),
        Message(Opcode.BINARY, b"one two three"),
        Message(Opcode.TEXT, b"four"),
    ]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (a_frame(3, b""), "unknown kind 0x3"),
        (a_frame(Opcode.BINARY, b"abc", second=0x80), "an extension or a key"),
        (bytes((0xC2, 0)), "an extension or a key"),
        (a_frame(Opcode.PING, b"", is_last=False), "cut or too long"),
        (a_frame(Opcode.CLOSE, b"x" * 126), "cut or too long"),
        (a_frame(Opcode.CONTINUATION, b"x"), "out of its order"),
        (a_frame(Opcode.TEXT, b"x", is_last=False) + a_frame(Opcode.TEXT, b"y"), "out of its"),
        (bytes((0x82, 127)) + (1 << 62).to_bytes(8), "of over 1048576 bytes"),
        (
            a_frame(Opcode.TEXT, b"x" * 1_000_000, is_last=False)
            + a_frame(Opcode.CONTINUATION, b"y" * 100_000),
            "of over 1048576 bytes",
        ),
    ],
)
def test_what_no_server_may_send_is_refused(sent: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        Reader().feed(sent)


@given(sent=st.binary(max_size=300), size_bytes=st.integers(1, 40))
def test_no_bytes_break_the_reader(sent: bytes, size_bytes: int) -> None:
    reader, read_bytes = Reader(), 0
    try:
        for at in range(0, len(sent), size_bytes):
            read_bytes += sum(len(one.content) for one in reader.feed(sent[at : at + size_bytes]))
    except Malformed:
        return

    assert read_bytes <= len(sent)
