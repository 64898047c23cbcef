"""What a machine lacks to be a peer of a Weave network, and what its router says of the others."""

import asyncio
import shutil
from collections.abc import Sequence

from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cuberoot.host import probe
from cuberoot.plan import Lack
from cuberoot.programs.weave import CONTROL_PORT

ROUTER = "weaver"
TOOLS = {
    ROUTER: "scripts/install-weave says how to get it",
    "iptables": "apt-get install iptables",
    "ipset": "apt-get install ipset",
}
# What the router makes devices of; without dummy it cannot give its bridge an MTU.
DEVICES = {
    "bridge": (),
    "veth": ("peer", "name", "probe1"),
    "dummy": (),
}
ASK_S = 5.0
LINES_MAX = 400


async def lacks_of_weave(env: Env) -> list[Lack]:
    """Return what is missing, a line each. Nothing is changed: devices are tried elsewhere."""
    lacks = [
        Lack(f"{tool} is missing", remedy)
        for tool, remedy in TOOLS.items()
        if shutil.which(tool) is None
    ]
    if shutil.which(ROUTER) is not None:
        lacks += await _tried(
            [ROUTER, "--version"], f"{ROUTER} does not run", env, "apt-get install libpcap0.8"
        )
    for kind, words in DEVICES.items():
        # In a network namespace of this one command, which ends with it.
        argv = ["unshare", "--net", "ip", "link", "add", "probe0", "type", kind, *words]
        what = f"this kernel makes no device of the kind {kind}"
        lacks += await _tried(argv, what, env, f"modprobe {kind}, or another kernel")
    return lacks


async def _tried(argv: Sequence[str], what: str, env: Env, remedy: str) -> list[Lack]:
    try:
        await env.commands.run(argv)
    except CommandFailed as error:
        said = (error.said.strip() or str(error)).splitlines()[-1]
        return [Lack(f"{what} ({said})", remedy)]
    return []


async def peers_told() -> list[str]:
    """Return what this node's router says of its peers, as `weave status peers` prints it."""
    try:
        async with asyncio.timeout(ASK_S):
            answer = await probe.answer_of("127.0.0.1", CONTROL_PORT, "/status/peers", None)
    except (OSError, TimeoutError) as error:
        return [f"the Weave router does not answer: {str(error) or 'time is up'}"]
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace").splitlines()[:LINES_MAX]
