"""What a verb works with: the API, the namespace, where text goes, and what time it is."""

import errno
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TextIO

from cubectl.api import Api
from cubectl.connection.kubeconfig import Access, access_by
from cubectl.connection.transport import HttpsTransport
from cubectl.kinds import Kinds, place_for
from cubectl.output.printers import safe
from cubernetes.host.timing import moment


class Failed(Exception):
    """A verb cannot go on; the sentence is for the person who asked."""


class Rejected(Exception):
    """Documents that cannot be sent: one sentence for each thing that is wrong."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = tuple(sentences)


class Misused(Exception):
    """The command line asks for something that cannot be: exit code 2."""


class Closed(io.StringIO):
    """Stands for the stdout of a process that was started without one."""

    def write(self, _: str) -> int:
        raise OSError(errno.EBADF, "stdout is closed")

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "stdout is closed")


class Choice(NamedTuple):
    """What the command line says for every verb."""

    kubeconfig: str = ""
    context: str = ""
    server: str = ""
    namespace: str = ""
    timeout_s: float = 30.0


class Session:
    """Opens files and connections only when a verb asks for them."""

    def __init__(
        self,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        environment: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = moment.now,
        monotonic: Callable[[], float] = moment.monotonic,
    ) -> None:
        self.choice = Choice()
        self.out: TextIO = out or sys.stdout or Closed()
        self.err: TextIO = err or sys.stderr or open(os.devnull, "w")  # noqa: SIM115  as long as the process
        self.environment, self.now, self.monotonic = environment, now, monotonic
        self.failure_count = 0
        # What the process ends with where nothing failed: the code of a command that ran elsewhere.
        self.exit_code = 0
        self._access: Access | None = None
        self._transport: HttpsTransport | None = None
        self._api: Api | None = None
        self._kinds: Kinds | None = None
        self._warned: set[str] = set()

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
    def transport(self) -> HttpsTransport:
        if self._transport is None:
            self._transport = HttpsTransport(self.access, timeout_s=self.choice.timeout_s)
        return self._transport

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = Api(self.transport, self.warn)
        return self._api

    @api.setter
    def api(self, api: Api) -> None:
        """Work with another API: for tests."""
        self._api = api

    @property
    def kinds(self) -> Kinds:
        """What the cluster has; nothing is asked before somebody needs to know."""
        if self._kinds is None:
            place = place_for(self.environment, self.access.server, self.access.ca)
            self._kinds = Kinds(self.api.raw, place, self.now)
        return self._kinds

    @kinds.setter
    def kinds(self, kinds: Kinds) -> None:
        """Know other kinds: for tests."""
        self._kinds = kinds

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

    def warn(self, text: str) -> None:
        """Tell once what the server said beside an answer: a rehearsal hears it too."""
        if text not in self._warned:
            self._warned.add(text)
            self.tell(f"warning: {safe(text)}")

    def fail(self, text: str) -> None:
        """Tell of a failure after which the verb goes on with the rest; it ends with 1."""
        self.failure_count += 1
        self.tell(text)
