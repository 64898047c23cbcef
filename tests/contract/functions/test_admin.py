"""`cubectl function invoke` and `logs`, over TLS with the certificate of an administrator."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cubernetes.host.clock import SystemClock
from cubernetes.host.env import Env
from cuberoot import pki
from cuberoot.program import Identity
from serverless.bus.memory import MemoryBus
from tests.contract.functions.runners import ROOT
from tests.contract.functions.world import HELLO, World, functions_world, until


class Certificates:
    """An authority, a server of loopback, an administrator and somebody else."""

    def __init__(self, folder: Path) -> None:
        now = Env().clock.now()
        self.ca = pki.new_ca("cluster", now)
        server = Identity("system:serverless", (), (), ("127.0.0.1",), is_server=True)
        self.server = pki.new_cert(server, self.ca, now)
        self.admin = pki.new_cert(Identity("admin", ("system:masters",)), self.ca, now)
        self.other = pki.new_cert(Identity("other", ("people",)), self.ca, now)
        (folder / "ca.crt").write_bytes(self.ca.cert)
        (folder / "server.crt").write_bytes(self.server.cert)
        (folder / "server.key").write_bytes(self.server.key)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
async def world(tmp_path: Path, certificates: Certificates) -> AsyncIterator[World]:
    told = {
        "cert": str(tmp_path / "server.crt"),
        "key": str(tmp_path / "server.key"),
        "client_ca": str(tmp_path / "ca.crt"),
        "admin_port": 0,
    }
    async with functions_world(tmp_path / "root", MemoryBus(SystemClock()), None, **told) as made:
        await made.deploy("hello", HELLO)
        await made.loaded("hello")
        yield made


async def cubectl(
    world: World, kubeconfig: Path, *words: str, verb: str = "function"
) -> tuple[int, str, str]:
    """Run a command line against the program's own port."""

    async def is_listening() -> bool:
        return bool(port())

    def port() -> int:
        try:
            return world.platform.admin_server.port
        except (AssertionError, IndexError):
            return 0  # it has no socket yet

    await until(is_listening)
    argv = [sys.executable, "-m", "cubectl", "--kubeconfig", str(kubeconfig), verb, *words]
    process = await asyncio.create_subprocess_exec(
        *argv,
        "--at",
        f"127.0.0.1:{port()}",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def kubeconfig_of(folder: Path, ca: pki.Signed, own: pki.Signed) -> Path:
    """Write a kubeconfig with a client's certificate."""
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    data = {"certificate-authority-data": text_of(ca.cert)}
    user = {"client-certificate-data": text_of(own.cert), "client-key-data": text_of(own.key)}
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **data}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(tree))
    return path


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def test_an_administrator_calls_a_function_and_reads_what_it_said(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    admin = kubeconfig_of(tmp_path, certificates.ca, certificates.admin)

    invoked = await cubectl(world, admin, "invoke", "hello", "-p", "name=you", "-d", "body")
    code, logs, _ = await cubectl(world, admin, "logs", "hello")
    call = logs.split()[2]
    _, of_call, _ = await cubectl(world, admin, "logs", "hello", "--call", call)
    _, of_none, _ = await cubectl(world, admin, "logs", "hello", "--call", "none")

    assert invoked == (0, "hello you\n", "")
    assert code == 0
    assert logs.endswith("called by you\n")
    assert of_call == logs
    assert of_none == ""


async def test_a_call_that_fails_is_told_with_its_status(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    await world.deploy("bad", "def action(req):\n    return {}['missing']\n")
    await world.loaded("bad")
    admin = kubeconfig_of(tmp_path, certificates.ca, certificates.admin)

    code, _, told = await cubectl(world, admin, "invoke", "bad")
    _, logs, _ = await cubectl(world, admin, "logs", "bad")

    assert code == 1
    assert "Failure in function default/bad: KeyError: 'missing'" in told
    assert "the call ended with 500" in told
    assert "return {}['missing']" in logs


async def test_an_asynchronous_call_gives_its_id_by_which_its_result_is_read(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    admin = kubeconfig_of(tmp_path, certificates.ca, certificates.admin)

    invoked, call, told = await cubectl(
        world, admin, "invoke", "hello", "-p", "name=you", "-d", "body", "--async"
    )
    read = await cubectl(world, admin, "result", call.strip(), "--wait", "60")
    none, _, why = await cubectl(world, admin, "result", "none")
    late, _, why_late = await cubectl(world, admin, "cancel", call.strip())

    assert invoked == 0, told
    assert late == 1
    assert "409: the call had ended before: ok" in why_late
    assert read == (0, "hello you\n", "")
    assert none == 1
    assert "there is no such call" in why


async def test_others_may_neither_call_nor_read(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    other = kubeconfig_of(tmp_path, certificates.ca, certificates.other)

    invoked, _, told = await cubectl(world, other, "invoke", "hello")
    read, _, _ = await cubectl(world, other, "logs", "hello")

    assert (invoked, read) == (1, 1)
    assert "only a client of the group system:masters may ask" in told
