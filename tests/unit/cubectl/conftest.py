"""What tests of command lines begin with: a server without an object, and a file to be written."""

from pathlib import Path

import pytest

from tests.unit.cubectl.tinyserver import TinyServer


@pytest.fixture
def server() -> TinyServer:
    return TinyServer()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yaml"
