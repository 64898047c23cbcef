"""Which function: its namespace and its name. Pure."""

from typing import NamedTuple


class FunctionKey(NamedTuple):
    """Which function."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
