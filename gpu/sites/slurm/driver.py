"""Sites of Slurm: each request is one call of cube-site there."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import msgspec

from cubernetes.api.core.data import configdata
from cubernetes.api.core.secret import Secret
from cubernetes.api.errors import ApiError, NotFound
from cubernetes.api.gpu.gpujob import GpuJob
from cubernetes.api.gpu.gpusite import GpuSite
from cubernetes.api.gpu.slurm import KEY_FIELD, KEYS_NAMESPACE, Slurm
from cubernetes.client.outcome import TransportError
from cubernetes.client.rest import Client
from gpu.driver import JobRefused, Report, SiteTrouble, Stream
from gpu.sites.slurm.line import Address, Answer, Lines, NotOver
from gpu.sites.slurm.words import Facts, devices_of, observation_of, request_for, states_of

HERE = Path(__file__).parent
HEADER = HERE.parent / "cube_cuda.h"
FRAME = HERE / "cubeframe.py"
DATA = 65  # the exit code of cube-site that no further try changes


class Asks(Protocol):
    """How a site is reached."""

    async def ask(self, name: str, address: Address, words: str, stdin: bytes = b"") -> Answer:
        """Have a site carry out a request. Raises: SiteTrouble."""
        ...

    async def read(self, name: str, address: Address, words: str) -> Answer:
        """As ask, for readers, who keep the program's requests not waiting. Raises: SiteTrouble."""
        ...

    def follow(self, name: str, address: Address, words: str) -> AsyncGenerator[bytes, None]:
        """Yield nothing once a request is under way, then its answer. Raises: SiteTrouble."""
        ...

    async def close(self) -> None: ...


class SlurmSites:
    """Every site of the type slurm."""

    def __init__(self, client: Client, bytes_max: int, lines: Asks | None = None) -> None:
        self._client, self._bytes_max = client, bytes_max
        self._lines = lines or Lines()
        self._frame, self._header = FRAME.read_text(), HEADER.read_text()
        # How often in a row the queue has answered without a job that had not ended, by its key.
        self._missed = Counter[str]()

    def on_change(self, wake: Callable[[], None]) -> None:
        """Slurm tells nothing by itself."""

    async def run(self) -> None:
        """Keep the lines until the end; nothing else is done by itself."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._lines.close()

    async def observe(self, site: GpuSite) -> Report:
        partition = _slurm(site).partition
        asked = msgspec.json.encode({"partition": partition})
        answer = await self._must(site, "states", asked)
        try:
            states = states_of(answer.stdout)
        except msgspec.MsgspecError as error:
            raise SiteTrouble(f"its answer cannot be read: {error}") from error
        if states.trouble:
            raise SiteTrouble(states.trouble)
        jobs = {key: observation_of(one, self._miss(key, one)) for key, one in states.jobs.items()}
        devices = devices_of(states)
        place = partition or "all partitions"
        told = f"Slurm: {len(devices)} GPUs of {len(states.nodes)} nodes, {place}"
        return Report(devices, jobs, told)

    def _miss(self, key: str, found: Facts) -> int:
        if found.is_queued or found.end is not None:
            del self._missed[key]
            return 0
        self._missed[key] += 1
        return self._missed[key]

    async def submit(self, site: GpuSite, job: GpuJob, key: str) -> None:
        wanted = request_for(job, _slurm(site), self._frame, self._header, self._bytes_max)
        answer = await self._ask(site, f"submit {key}", wanted)
        if answer.code == DATA:
            raise JobRefused(_told(answer))
        _must_be_done(answer)

    async def cancel(self, site: GpuSite, job: GpuJob, key: str) -> None:  # noqa: ARG002
        await self._must(site, f"cancel {key}")

    async def remove(self, site: GpuSite, job: GpuJob, key: str) -> None:  # noqa: ARG002
        await self._must(site, f"remove {key}")
        del self._missed[key]

    async def read(self, site: GpuSite, key: str, stream: Stream, offset: int) -> bytes:
        """Return what a job has written from an offset on, at most a mebibyte at once."""
        address, words = await self._address(site), f"read {key} {stream} {offset}"
        answer = await self._lines.read(site.metadata.name, address, words)
        _must_be_done(answer)
        return answer.stdout

    async def output(
        self, site: GpuSite, key: str, stream: Stream, offset: int, *, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """See driver.TellsOutput."""
        if not follow:
            part = await self.read(site, key, stream, offset)
            yield b""
            while part:
                yield part
                offset += len(part)
                part = await self.read(site, key, stream, offset)
            return
        address = await self._address(site)
        is_over = False
        while not is_over:
            words = f"follow {key} {stream} {offset}"
            async with aclosing(self._lines.follow(site.metadata.name, address, words)) as parts:
                is_over = True
                try:
                    async for part in parts:
                        offset += len(part)
                        yield part
                except NotOver:
                    is_over = False

    async def _ask(self, site: GpuSite, words: str, stdin: bytes = b"") -> Answer:
        address = await self._address(site)
        return await self._lines.ask(site.metadata.name, address, words, stdin)

    async def _must(self, site: GpuSite, words: str, stdin: bytes = b"") -> Answer:
        answer = await self._ask(site, words, stdin)
        _must_be_done(answer)
        return answer

    async def _address(self, site: GpuSite) -> Address:
        spec = _slurm(site)
        place = f"the Secret {KEYS_NAMESPACE}/{spec.key_secret}"
        try:
            secret = await self._client.get(Secret, spec.key_secret, KEYS_NAMESPACE)
        except NotFound as error:
            raise SiteTrouble(f"{place} is not there") from error
        except (ApiError, TransportError) as error:
            raise SiteTrouble(f"{place} cannot be read: {error}") from error
        key = configdata.decoded(secret.data.get(KEY_FIELD, ""))
        if not key:
            raise SiteTrouble(f"{place} has no {KEY_FIELD}")
        text = key.decode(errors="replace")
        return Address(spec.host, spec.port, spec.user, spec.host_keys, text)


def _slurm(site: GpuSite) -> Slurm:
    if site.spec.slurm is None:
        raise SiteTrouble("spec.slurm does not say where it is")
    return site.spec.slurm


def _told(answer: Answer) -> str:
    told = answer.stderr.removeprefix("cube-site: ")
    return told or f"cube-site ended with {answer.code}"


def _must_be_done(answer: Answer) -> None:
    if answer.code:
        raise SiteTrouble(_told(answer))
