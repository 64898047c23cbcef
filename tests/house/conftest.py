"""One process reads the house: whatever looks at its trees runs where they are already parsed."""

import pytest

from tests.house.sources import ROOT

FOLDER = ROOT / "tests" / "house"
# They look at what programs say of themselves, not at their text, and run beside.
WITHOUT_TREES = frozenset({"test_kinds.py", "test_layers.py", "test_published.py"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == FOLDER and item.path.name not in WITHOUT_TREES:
            item.add_marker(pytest.mark.xdist_group("trees"))
