"""What a verb works with: the API, the namespace, where text goes, and what time it is."""

import errno
import io
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TextIO

from cubectl.api import Api
from cubectl.connection.kubeconfig import Access, access_by
from cubectl.connection.transport import HttpsTransport
from cubernetes.host import moment


class Failed(Exception):
    """A verb cannot go on; the sentence is for the person who asked."""


class Misused(Exception):
    """The command line asks for something that cannot be: exit code 2."""


class Closed(io.StringIO):
    """Stands for the stdout of a process that was started without one."""

    def write(self, _: str) -> int:
        raise OSError(errno.EBADF, "stdout is closed")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line says for every verb."""

    kubeconfig: str = ""
    context: str = ""
    server: str = ""
    namespace: str = ""
    timeout_s: float = 30.0


@dataclass
class Session:
    """Opens files and connections only when a verb asks for them."""

    choice: Choice = field(default_factory=Choice)
    out: TextIO = field(default_factory=lambda: sys.stdout or Closed())
    err: TextIO = field(default_factory=lambda: sys.stderr or open(os.devnull, "w"))  # noqa: SIM115  as long as the process
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: Callable[[], datetime] = moment.now
    monotonic: Callable[[], float] = moment.monotonic
    failure_count: int = 0
    _access: Access | None = None
    _api: Api | None = None

    @property
    def access(self) -> Access:
        if self._access is None:
            self._access = access_by(
                self.environment,
                path=self.choice.kubeconfig,
                context=self.choice.context,
                server=self.choice.server,
            )
            for warning in self._access.warnings:
                self.tell(f"warning: {warning}")
        return self._access

    @access.setter
    def access(self, access: Access) -> None:
        """Ask as somebody else: for tests."""
        self._access = access

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = Api(HttpsTransport(self.access, timeout_s=self.choice.timeout_s))
        return self._api

    @api.setter
    def api(self, api: Api) -> None:
        """Work with another API: for tests."""
        self._api = api

    @property
    def namespace(self) -> str:
        return self.choice.namespace or self.access.namespace

    @property
    def width(self) -> int | None:
        """Return the columns of the terminal that `out` is; None where it is none."""
        try:
            if not self.out.isatty():
                return None
            told = self.environment.get("COLUMNS", "")
            return int(told) if told.isdecimal() else os.get_terminal_size(self.out.fileno())[0]
        except OSError:
            return None

    def say(self, text: str) -> None:
        """Write a line of the answer, at once: it may be the last for a long time."""
        self.out.write(text + "\n")
        self.out.flush()

    def tell(self, text: str) -> None:
        """Write a line beside the answer: progress, a hint, a warning."""
        self.err.write(f"cubectl: {text}\n")
        self.err.flush()

    def fail(self, text: str) -> None:
        """Tell of a failure after which the verb goes on with the rest; it ends with 1."""
        self.failure_count += 1
        self.tell(text)
