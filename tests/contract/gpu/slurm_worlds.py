"""Sites of Slurm for tests: cube-site itself, on a Slurm of paper that a test moves by hand."""

import asyncio
import base64
import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from apiserver.server import ApiServer
from cubernetes.api.core.namespace import Namespace
from cubernetes.api.core.secret import Secret
from cubernetes.api.gpu.gpusite import GpuSite, GpuSiteSpec
from cubernetes.api.gpu.slurm import KEY_FIELD, KEYS_NAMESPACE, Slurm
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from gpu.driver import SiteDriver, SiteTrouble
from gpu.sites.slurm.driver import SlurmSites
from gpu.sites.slurm.line import Address, Answer
from tests.contract.gpu import paperslurm
from tests.contract.gpu.realslurm import RealSlurm
from tests.contract.gpu.worlds import PROGRAM, SiteWorld, api, until
from tests.direct import DirectTransport

HOUSE = Path(__file__).resolve().parents[3]
SITE_FILE = HOUSE / "gpu" / "sites" / "slurm" / "cubesite.py"
A_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMtSW5C6qRmWIqQpPiGnOvQ0Y9zYQ1vMLLrUBNg2xKqW"
BYTES_MAX = 4096


class PaperLine:
    """cube-site begun as sshd begins a forced command, each site with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        text = Path(paperslurm.__file__).read_text()
        own = text.replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1)
        for name in paperslurm.VERBS:
            (bin_folder / name).write_text(own)
            (bin_folder / name).chmod(0o755)
        self.is_cut = False

    def home(self, site: str) -> Path:
        return self._folder / site

    async def ask(self, name: str, address: Address, words: str, stdin: bytes = b"") -> Answer:
        if self.is_cut:
            raise SiteTrouble("the line is cut")
        env = {
            "PATH": f"{self._folder}/bin:{os.environ['PATH']}",
            "SSH_ORIGINAL_COMMAND": words,
            "SBATCH_ACCOUNT": "somebody-else",
        }
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(SITE_FILE), str(self.home(name)),
            env=env, stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        try:
            out, said = await child.communicate(stdin)
        finally:
            # The program may end in the middle of a question.
            if child.returncode is None:
                child.kill()
                await child.wait()
        return Answer(child.returncode or 0, out, said.decode().strip())

    async def read(self, name: str, address: Address, words: str) -> Answer:
        return await self.ask(name, address, words)

    async def follow(self, name: str, address: Address, words: str) -> AsyncGenerator[bytes, None]:
        yield b""
        yield (await self.ask(name, address, words)).stdout

    async def close(self) -> None:
        self.is_cut = True


class PaperSlurmWorld:
    script = "true"

    def __init__(self, admin: Client, client: Client, folder: Path) -> None:
        self.admin, self.client, self.folder = admin, client, folder
        self.line = PaperLine(folder)
        self.driver: SiteDriver = SlurmSites(client, BYTES_MAX, self.line)

    async def site(self, name: str = "a") -> GpuSite:
        return await a_slurm_site(self.admin, name)

    async def runs(self, key: str) -> None:
        (self._job(key) / "begun").write_text('{"id": "1", "host": "g1", "at": 1000}')
        self.tell(key, state="RUNNING", node="g1")

    async def ends(self, key: str, code: int) -> None:
        self.finish(key, exit=code)
        self.tell(key, state="FAILED" if code else "COMPLETED")

    def finish(self, key: str, **end: int | bool) -> None:
        """Write what the frame writes at a program's end."""
        told = {"exit": 0, "signal": 0, "at": 1010, "beganAt": 1000} | end
        (self._job(key) / "end").write_text(json.dumps(told))

    async def loses(self, key: str) -> None:
        self.tell(key, state="NODE_FAIL")

    def tell(self, key: str, **row: str) -> None:
        """Let Slurm say something else of a job."""
        path = self.folder / "rows"
        known = json.loads(path.read_text())
        for one in known:
            if one["name"] == f"cube-{key}":
                one.update(row)
        path.write_text(json.dumps(known))

    def run_count(self, key: str) -> int:
        path = self.folder / "rows"
        known = json.loads(path.read_text()) if path.exists() else []
        return sum(1 for one in known if one["name"] == f"cube-{key}")

    def calls(self) -> list[list[str]]:
        """Return what sbatch was called with."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def asked(self) -> list[str]:
        """Return which of Slurm's commands were called: each takes a while."""
        return (self.folder / "asked").read_text().split()

    def _job(self, key: str) -> Path:
        (found,) = self.folder.glob(f"*/{key}")
        return found


async def a_slurm_site(admin: Client, name: str, slurm: Mapping[str, object] = {}) -> GpuSite:
    told = {"host": "login", "user": "hpc", "host_keys": (A_HOST_KEY,), "key_secret": name}
    spec = GpuSiteSpec(type="slurm", slurm=Slurm(**(told | dict(slurm))))  # type: ignore[arg-type]  # by name
    return await admin.create(GpuSite(metadata=ObjectMeta(name=name), spec=spec))


async def keys_in(admin: Client, keys: Mapping[str, str]) -> None:
    await admin.create(Namespace(metadata=ObjectMeta(name=KEYS_NAMESPACE)))
    for name, text in keys.items():
        data = {KEY_FIELD: base64.b64encode(text.encode()).decode()}
        meta = ObjectMeta(name=name, namespace=KEYS_NAMESPACE)
        await admin.create(Secret(metadata=meta, data=data))


def as_program(server: ApiServer, env: Env) -> Client:
    return Client(DirectTransport(server, PROGRAM), env)


@asynccontextmanager
async def paper_slurm_world() -> AsyncIterator[SiteWorld]:
    with tempfile.TemporaryDirectory() as place:
        async with api() as (server, admin, env):
            folder = Path(place)
            await keys_in(admin, dict.fromkeys(("a", "b", "probe"), "no key: paper has no door"))
            yield PaperSlurmWorld(admin, as_program(server, env), folder)


class RealSlurmWorld:
    """A real one. A program waits until a file says with what code it is to end."""

    def __init__(self, admin: Client, driver: SlurmSites, slurm: RealSlurm, folder: Path) -> None:
        self.admin, self.slurm, self.folder = admin, slurm, folder
        self.driver: SiteDriver = driver
        self.script = (
            f"mark={folder}/$SLURM_JOB_NAME\n"
            'until [ -e "$mark" ]; do sleep 0.05; done\n'
            'exit "$(cat "$mark")"\n'
        )

    async def site(self, name: str = "a", partition: str = "gpu") -> GpuSite:
        told = {
            "host": self.slurm.address, "port": self.slurm.port, "user": "root",
            "host_keys": (self.slurm.host_key,), "partition": partition,
        }  # fmt: skip
        return await a_slurm_site(self.admin, name, told)

    async def runs(self, key: str) -> None:
        async def is_running() -> bool:
            return self.state(key) == "RUNNING"

        await until(is_running)

    async def ends(self, key: str, code: int) -> None:
        part = self.folder / "part"
        part.write_text(str(code))
        part.rename(self.folder / f"cube-{key}")

    async def loses(self, key: str) -> None:
        self.slurm.run("scontrol", "update", "NodeName=g1", "State=DOWN", "Reason=test")

        async def is_back() -> bool:
            # It comes back by itself, too: then there is nothing to resume.
            self.slurm.said("scontrol", "update", "NodeName=g1", "State=RESUME")
            return self.slurm.states("gpu") == "idle"

        await until(is_back)

    def state(self, key: str) -> str:
        return self.slurm.said("squeue", "-h", "-t", "all", "-n", f"cube-{key}", "-o", "%T")

    def run_count(self, key: str) -> int:
        return len(self.state(key).splitlines())


@asynccontextmanager
async def real_slurm_world(slurm: RealSlurm) -> AsyncIterator[RealSlurmWorld]:
    with tempfile.TemporaryDirectory(dir=slurm.root) as place:
        folder = Path(place)
        keys, lines = {}, []
        for name in ("a", "b", "probe"):
            slurm.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{name}")
            keys[name] = (folder / name).read_text()
            command = f"{sys.executable} {SITE_FILE} {folder}/{name}.home"
            public = (folder / f"{name}.pub").read_text().strip()
            lines.append(f'restrict,command="{command}" {public}\n')
        (slurm.root / "authorized_keys").write_text("".join(lines))
        async with api() as (server, admin, env):
            await keys_in(admin, keys)
            driver = SlurmSites(as_program(server, env), BYTES_MAX)
            task = asyncio.create_task(driver.run())
            try:
                yield RealSlurmWorld(admin, driver, slurm, folder)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                slurm.said("scancel", "-u", "root")
                await until(lambda: _is_quiet(slurm))


async def _is_quiet(slurm: RealSlurm) -> bool:
    return slurm.said("squeue", "-h", "-o", "%i") == ""
