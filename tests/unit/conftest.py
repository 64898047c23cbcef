"""What all unit tests share: no sync waits for a disk."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def syncs_of_no_disk() -> Iterator[None]:
    """Let a sync only look whether its descriptor is open.

    No unit test cuts the power: the kernel gives back what was written, synced or not.
    """
    with pytest.MonkeyPatch.context() as patch:
        for sync in ("fsync", "fdatasync"):
            patch.setattr(os, sync, os.fstat)
        yield
