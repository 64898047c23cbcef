"""The allocator of cluster IPs: always an end, never a wrong address (W1)."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import example, given
from hypothesis import strategies as st

from apiserver.strategies.clusterips import first_address, free_address, refusal


def networks(shortest: int) -> st.SearchStrategy[IPv4Network]:
    """Networks with prefixes of so many bits, to 30."""
    return st.builds(
        lambda base, length: IPv4Network((int(IPv4Address("10.0.0.0")) + (base << 8), length)),
        st.integers(0, 1000),
        st.integers(shortest, 30),
    )


FRACTIONS = st.floats(0, 1, exclude_max=True)


@given(network=networks(24), fraction=FRACTIONS, data=st.data())
def test_w1_an_address_is_found_exactly_where_one_is_free(
    network: IPv4Network, fraction: float, data: st.DataObject
) -> None:
    """W1: the search did not move on from an address that was taken."""
    usable = [str(address) for address in network.hosts()]
    taken = set(data.draw(st.lists(st.sampled_from(usable))))
    found = free_address(network, taken, fraction)

    if len(taken) == len(usable):
        assert found is None
    else:
        assert found in usable
        assert found not in taken
        assert refusal(found, network, None) == ""


@example(network=IPv4Network("10.96.0.0/24"), fraction=0.5)
@given(network=networks(27), fraction=FRACTIONS)
def test_w1_the_whole_range_can_be_given_out_each_address_once(
    network: IPv4Network, fraction: float
) -> None:
    taken: set[str] = set()
    while (address := free_address(network, taken, fraction)) is not None:
        assert address not in taken
        taken.add(address)

    assert taken == {str(address) for address in network.hosts()}


def test_what_people_choose_from_is_given_out_last() -> None:
    network = IPv4Network("10.96.0.0/24")
    low = {f"10.96.0.{last}" for last in range(1, 16)}

    assert all(free_address(network, {}, step / 100) not in low for step in range(100))


def test_each_refusal_says_why() -> None:
    network = IPv4Network("10.96.0.0/24")

    assert "not in the service range" in refusal("10.97.0.1", network, None)
    assert "network address" in refusal("10.96.0.0", network, None)
    assert "broadcast address" in refusal("10.96.0.255", network, None)
    assert "belongs to service a/b" in refusal("10.96.0.7", network, "service a/b")
    assert refusal("10.96.0.7", network, None) == ""
    assert first_address(network) == "10.96.0.1"
