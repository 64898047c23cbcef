"""How jobs are handed to a site and heard of: what each kind of site must be able to do.

A job's submission key is its name at the site. Everything may be asked twice: the program is begun
anew at any point, and asks again.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite
from gpu.machine import Event


class SiteTrouble(Exception):
    """The site did not answer, or not in a way that tells anything. Nothing is known of any job."""


class JobRefused(Exception):
    """The site will never take this job; the text says why."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a site says of one job.

    state: one of the machine's events. exit_code is None where no program has ended.
    """

    state: Event
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    node: str = ""
    site_job_id: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a site says of itself and of all of our jobs there, by their keys.

    devices: its GPUs, each with its type. message: in its own words.
    """

    devices: Mapping[str, str]
    jobs: Mapping[str, Observation]
    message: str = ""


type Stream = Literal["out", "err"]


class SiteDriver(Protocol):
    """Every method is idempotent, and raises SiteTrouble where the site does not answer."""

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call wake at news of any site; a driver that hears of none is asked by time."""
        ...

    async def run(self) -> None:
        """Do what the driver does in the background, for ever."""
        ...

    async def observe(self, site: GpuSite) -> Report:
        """Ask for everything at once: all jobs that the site knows, ended ones included.

        What was submitted before this was called, and has not been removed, is among them.
        """
        ...

    async def submit(self, site: GpuSite, job: GpuJob, key: str) -> None:
        """Have the site run a job under its key: at most once, however often this is called.

        Raises: Refused.
        """
        ...

    async def cancel(self, site: GpuSite, job: GpuJob, key: str) -> None:
        """Ask for the end of a job; what the site does not know has ended."""
        ...

    async def remove(self, site: GpuSite, job: GpuJob, key: str) -> None:
        """End what runs under a key, and take away everything that is left of it."""
        ...


@runtime_checkable
class TellsOutput(Protocol):
    """A driver whose jobs' outputs lie at the site; those of pods are logs of the cluster."""

    def output(
        self, site: GpuSite, key: str, stream: Stream, offset: int, *, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """Yield nothing as soon as the output is there to read, then all of it from an offset on.

        follow: goes on as more is written, until the job is over. Raises: SiteTrouble.
        """
        ...
