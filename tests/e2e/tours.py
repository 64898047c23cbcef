"""Runs a tour of scripts/ on a test's cluster; each of its steps checks what it shows."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.house.sources import ROOT


async def toured(cluster: Cluster, kubeconfig: Path, script: str, deadline_s: float) -> str:
    """Return what a tour has said once it has ended well."""
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "scripts" / script),
        cluster.lab.site.topology.name,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            out, _ = await process.communicate()
    finally:
        # A tour that is late asks no more: other tests follow.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out.decode()
    return out.decode()
