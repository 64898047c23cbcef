"""Fixtures of the sites of GPU jobs."""

from collections.abc import Iterator

import pytest

from tests.contract.gpu.realslurm import RealSlurm, why_not


@pytest.fixture(scope="module")
def real_slurm() -> Iterator[RealSlurm]:
    if why := why_not():
        pytest.skip(why)
    slurm = RealSlurm()
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
