"""How a daemon begins: with the descriptors that it may have."""

import resource
from collections.abc import Iterator

import pytest

from cubernetes.host.program import DESCRIPTORS_MAX, take_descriptors


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit; the soft one is a test's own."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_program_takes_the_descriptors_that_it_may_have(hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    take_descriptors()

    allowed = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_MAX, hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (allowed, hard)
