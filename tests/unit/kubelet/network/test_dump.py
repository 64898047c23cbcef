"""The kernel's dumps as values: what is cut or odd is refused, never half believed."""

import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.network import dump


def attribute(kind: int, content: bytes) -> bytes:
    padding = b"\0" * (-len(content) % 4)
    return struct.pack("=HH", len(content) + 4, kind) + content + padding


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def test_a_vxlan_device_is_read_whole() -> None:
    about = attribute(1, b"vxlan\0") + attribute(
        2,
        attribute(1, struct.pack("=I", 203))
        + attribute(4, IPv4Address("192.0.2.1").packed)
        + attribute(3, struct.pack("=I", 2))
        + attribute(7, b"\0")
        + attribute(15, struct.pack(">H", 8472)),
    )
    body = dump.LINK.pack(0, 1, 7, 0x1043, 0)
    body += attribute(1, bytes.fromhex("02cb0af40100")) + attribute(3, b"cube-vxlan\0")
    body += attribute(4, struct.pack("=I", 1450)) + attribute(18 | 0x8000, about)

    tunnel = dump.Vxlan(203, 8472, IPv4Address("192.0.2.1"), 2, learns=False)
    assert dump.link_in(body) == dump.Link(
        7, "cube-vxlan", "vxlan", "02:cb:0a:f4:01:00", 1450, is_up=True, vxlan=tunnel
    )


def test_routes_of_other_tables_are_left_out() -> None:
    def route(table: int) -> bytes:
        body = dump.ROUTE.pack(2, 32, 0, 0, table, 203, 253, 1, 0)
        return body + attribute(1, IPv4Address("10.244.1.2").packed) + attribute(4, b"\7\0\0\0")

    assert dump.route_in(route(255)) is None
    assert dump.route_in(route(254)) == dump.Way(
        IPv4Network("10.244.1.2/32"), 7, None, None, 253, 1, 203, 0
    )


def test_what_a_route_says_of_its_packets_is_read() -> None:
    body = dump.ROUTE.pack(2, 24, 0, 0, 254, 203, 0, 1, 0)
    body += attribute(1, IPv4Address("10.244.1.0").packed)
    body += attribute(8, attribute(2, struct.pack("=I", 1350)))

    way = dump.route_in(body)
    assert way is not None
    assert way.mtu_bytes == 1350


def test_an_address_of_two_ends_is_the_near_one() -> None:
    body = dump.ADDRESS.pack(2, 24, 0, 0, 3)
    near, far = IPv4Address("192.0.2.1").packed, IPv4Address("192.0.2.9").packed

    both = body + attribute(1, far) + attribute(2, near)
    assert dump.address_in(both) == (3, IPv4Interface("192.0.2.1/24"))


def test_an_error_of_the_kernel_is_told_with_its_number() -> None:
    with pytest.raises(dump.NotUnderstood, match="netlink error 1"):
        dump.bodies(message(dump.ERROR, struct.pack("=i", -1)))


def test_the_last_message_of_a_dump_ends_it() -> None:
    some = message(16, b"abcd")
    assert dump.bodies(some + some) == ([b"abcd", b"abcd"], False)
    assert dump.bodies(some + message(dump.DONE, b"\0\0\0\0") + some) == ([b"abcd"], True)


@pytest.mark.parametrize("read", [dump.link_in, dump.route_in, dump.near_in])
@given(content=st.binary(min_size=16, max_size=200))
def test_odd_bytes_are_refused_or_read_and_never_anything_else(
    read: Callable[[bytes], object], content: bytes
) -> None:
    with suppress(dump.NotUnderstood, ValueError, struct.error):
        read(content)
    with suppress(dump.NotUnderstood, struct.error):
        found, _ = dump.bodies(content)
        assert sum(map(len, found)) <= len(content)
