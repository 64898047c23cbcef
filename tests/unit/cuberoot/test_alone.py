"""Two runs on one machine do not mix."""

from pathlib import Path

import pytest

from cuberoot.host.alone import Busy, alone


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(Busy, match="another cuberoot"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
