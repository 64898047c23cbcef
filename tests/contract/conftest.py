"""What several contract suites need: engines that are dear to start, once for all tests."""

from collections.abc import Iterator

import pytest

from tests.contract.private_docker import PrivateDocker, reason_to_skip


@pytest.fixture(scope="session")
def engine() -> Iterator[PrivateDocker]:
    if reason := reason_to_skip():
        pytest.skip(f"no private Docker engine: {reason}")
    docker = PrivateDocker()
    try:
        docker.start()
        docker.add_image("busybox:1")
        docker.add_image("pause:1", 'CMD ["sleep", "100000"]')
        yield docker
    finally:
        docker.remove()
