"""What the gateway needs of an nginx, in its own words; container.py answers with a real one."""

from pathlib import Path
from typing import Protocol


class NginxTrouble(Exception):
    """The nginx, or what it runs in, could not be asked: try again later."""


class ConfigurationRefused(Exception):
    """nginx does not take a configuration. said is what it wrote, the numbers of lines in it."""

    def __init__(self, said: str) -> None:
        super().__init__(said[:1000])
        self.said = said


class Nginx(Protocol):
    """Every method may be repeated. Raises: NginxTrouble."""

    async def ensure(self) -> bool:
        """See to it that nginx runs; tell whether it had to be started."""
        ...

    async def test(self, generation: str) -> None:
        """Have nginx read the configuration of a generation.

        Raises: ConfigurationRefused.
        """
        ...

    async def reload(self) -> None:
        """Have new workers serve the current configuration; old ones end what they have begun."""
        ...

    async def serving(self) -> str:
        """Return the generation that a worker has; empty where none answers."""
        ...

    async def request_log(self) -> Path | None:
        """Return where its log of requests is read; None while it does not run."""
        ...

    async def remove(self) -> None:
        """Take nginx away."""
        ...
