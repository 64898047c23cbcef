"""The live page, asked by cubectl and drawn by a real browser, at a phone's width too."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cubernetes.api.meta import ObjectMeta
from cubernetes.api.serverless.workflow import Step, Workflow, WorkflowSpec
from cubernetes.host.clock import SystemClock
from serverless.bus.memory import MemoryBus
from tests.contract.functions.runners import ROOT
from tests.contract.functions.test_admin import Certificates, cubectl, kubeconfig_of
from tests.contract.functions.world import World, functions_world

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PHONE = (390, 844)
# Markup in what people write: it is to be shown, and not to be obeyed.
CODE = """
def action(req):
    print("<img src=x onerror=document.title='taken'>", req.body())
    return {"<b>word</b>": req.json()}
"""


@pytest.fixture
def admin(tmp_path: Path) -> Path:
    certificates = Certificates(tmp_path)
    return kubeconfig_of(tmp_path, certificates.ca, certificates.admin)


@pytest.fixture
async def world(tmp_path: Path, admin: Path) -> AsyncIterator[World]:
    told = {
        "cert": str(tmp_path / "server.crt"),
        "key": str(tmp_path / "server.key"),
        "client_ca": str(tmp_path / "ca.crt"),
        "admin_port": 0,
    }
    assert admin.exists()
    async with functions_world(tmp_path / "root", MemoryBus(SystemClock()), None, **told) as made:
        yield made


@asynccontextmanager
async def page(world: World, admin: Path) -> AsyncIterator[str]:
    """Run `cubectl serverless page`; give its address."""
    at = f"127.0.0.1:{world.platform.admin_server.port}"
    argv = ["-m", "cubectl", "--kubeconfig", str(admin), "serverless", "page", "--at", at]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, "--listen", "127.0.0.1:0", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield line.decode().split()[0]
    finally:
        process.kill()
        await process.wait()


async def asked(url: str, host: str = "") -> tuple[str, str]:
    """Return the status and the text of an answer."""
    argv = ["curl", "-s", "-m", "60", "-w", "\n%{http_code}", url]
    more = ["-H", f"Host: {host}"] if host else []
    process = await asyncio.create_subprocess_exec(*argv, *more, stdout=asyncio.subprocess.PIPE)
    text, _, status = (await process.communicate())[0].decode().rpartition("\n")
    return status, text


async def drawn(url: str, folder: Path, size: tuple[int, int]) -> str:
    """Return what a browser has made of the page, once it shows what there is."""
    argv = [
        BROWSER,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'browser'}",
        f"--window-size={size[0]},{size[1]}",
        "--virtual-time-budget=8000",
        "--timeout=50000",
        "--dump-dom",
        url,
    ]
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    return out.decode()


async def a_run(world: World, admin: Path) -> str:
    """Return a run that has succeeded: three items, and what is made of them."""
    await world.deploy("work", CODE)
    await world.loaded("work")
    steps = {
        "each": Step(call="work", each="$.input", input="$.item"),
        "skipped": Step(value="1", when="false", after=("each",)),
        "last": Step(call="work", input="len($.steps.each)", after=("each", "skipped")),
    }
    meta = ObjectMeta(name="w", namespace="default")
    await world.admin.create(Workflow(metadata=meta, spec=WorkflowSpec(steps=steps)))
    code, out, err = await cubectl(
        world, admin, "start", "w", "-d", json.dumps([1, 2, 3]), "--wait", "60", verb="workflow"
    )
    assert code == 0, err
    return out.split()[1]


async def test_the_page_is_answered_to_its_own_address_and_reads_alone(
    world: World, admin: Path
) -> None:
    run = await a_run(world, admin)
    async with page(world, admin) as url:
        status, text = await asked(f"{url}state")
        state = json.loads(text)
        html = await asked(url)
        found = await asked(f"{url}runs/{run}")
        foreign = await asked(f"{url}state", "evil.example:80")
        other = await asked(f"{url}functions/default/work/logs")

    assert status == "200"
    (function,) = state["functions"]
    assert (function["name"], function["loaded"], function["perMinute"]) == ("work", "True", 4)
    assert function["cold"] >= 1
    assert [one["state"] for one in state["runs"]] == ["succeeded"]
    assert (html[0], "<title>Functions</title>" in html[1]) == ("200", True)
    assert json.loads(found[1])["steps"][0]["done"] == 3
    assert (foreign[0], other[0]) == ("403", "404")


@pytest.mark.skipif(not BROWSER, reason="no chromium on PATH: apt-get install chromium")
@pytest.mark.parametrize("size", [PHONE, (1280, 900)], ids=["phone", "desk"])
async def test_a_browser_draws_the_run_as_its_graph_and_shows_markup_as_text(
    world: World, admin: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    run = await a_run(world, admin)
    async with page(world, admin) as url:
        dom = await drawn(f"{url}#{run}/each", tmp_path, size)

    assert 'data-shown="yes"' in dom
    assert 'data-wide="no"' in dom
    for step, state in (("each", "ok"), ("skipped", "skipped"), ("last", "ok")):
        assert f'data-step="{step}"' in dom
        assert f'class="step {state}"' in dom
    assert "ok 3/3" in dom
    assert "default/work" in dom
    assert "<title>Functions</title>" in dom
    # What the calls of the step have printed, as it stands.
    assert "&lt;img src=x onerror=document.title='taken'&gt; 1" in dom
    assert "&lt;b&gt;word&lt;/b&gt;" in dom
    assert "<img" not in dom
