"""Two nodes with a Weave router each: the stand-in, or a real one where one is installed."""

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from cubernetes.host.blocking import Threads
from kubelet.network.carriers.standing import Standing
from kubelet.network.carriers.weave import WeaveCarrier
from kubelet.network.driver import NetworkDriver
from kubelet.network.look import space_at
from kubelet.network.namespace import inside
from kubelet.network.overlay import WEAVE_OVERHEAD_BYTES
from kubelet.network.routed import RoutedNetwork
from kubelet.settings import WeaveSettings
from kubelet.weave.command import CONTROL, PROGRAM, argv_for, environment_for
from tests.contract.network.worlds import CABLE_BYTES, NODES, RealWorld

PATIENCE_S = 60.0
LOOK_S = 0.05
PASSWORD = "a password of a test"
STAND_IN = (sys.executable, str(Path(__file__).with_name("weave_router.py")))


def reason_without_weaver() -> str:
    """Return why no real router can run here, or nothing."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not on PATH (scripts/install-weave)"
    argv = ["unshare", "--net", "ip", "link", "add", "probe0", "type", "dummy"]
    tried = subprocess.run(argv, capture_output=True, text=True)
    return f"no dummy devices: {tried.stderr.strip()}" if tried.returncode else ""


class WeaveWorld(RealWorld):
    """A router in each node's namespace, begun by the command line of a real node."""

    overhead_bytes = WEAVE_OVERHEAD_BYTES
    made = ("cube", "weave", "vethwe")
    device = "weave"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._routers: dict[str, subprocess.Popen[bytes]] = {}
        for node in NODES:
            self.start_router(node)

    def program(self) -> tuple[str, ...]:
        return STAND_IN

    def start_router(self, node: str, password: str = PASSWORD) -> None:
        """Begin a node's router; return when it answers."""
        state, run = self._folder / f"{node}-weave", self._folder / f"{node}-run"
        run.mkdir(exist_ok=True)
        settings = WeaveSettings(
            node_name=node, address=str(self.addresses[node]), password=password, state=str(state)
        )
        devices = space_at(f"/run/netns/{self.node(node)}").links
        _, *words = argv_for(settings, PROGRAM, CABLE_BYTES, devices)
        argv = ["nsenter", f"--net=/run/netns/{self.node(node)}", *self.program(), *words]
        with (self._folder / f"{node}-weave.log").open("ab") as log:
            self._routers[node] = subprocess.Popen(
                argv, cwd=run, env=environment_for(settings, os.environ), stdout=log, stderr=log
            )
        self.wait(
            f"the router of {node}", lambda: self.router_says(node, "/status/targets") is not None
        )

    def stop_router(self, node: str) -> None:
        router = self._routers.pop(node)
        router.kill()
        router.wait()

    def router_says(self, node: str, path: str) -> str | None:
        """Return what a router answers; None: nothing."""
        with inside(f"/run/netns/{self.node(node)}"):
            asked = http.client.HTTPConnection("127.0.0.1", CONTROL, timeout=5)
            try:
                asked.connect()
            except OSError:
                return None
        try:
            asked.request("GET", path)
            return asked.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            asked.close()

    def driver(self, node: str) -> NetworkDriver:
        netns, blocking = f"/run/netns/{self.node(node)}", Threads()
        carrier = WeaveCarrier(node, Standing(self.addresses[node]), blocking, netns=netns)
        return RoutedNetwork(carrier, self.checkpoint(node), blocking, netns=netns)

    def reaches(
        self,
        pod: str,
        address: IPv4Address,
        payload_bytes: int = 64,
        source: IPv4Address | None = None,
    ) -> bool:
        """As ever, once the routers that run have found each other."""
        for node in self._routers:
            self.wait(f"the connections of {node}", partial(self._is_settled, node))
        return super().reaches(pod, address, payload_bytes, source)

    def _is_settled(self, node: str) -> bool:
        targets = (self.router_says(node, "/status/targets") or "").split()
        lines = (self.router_says(node, "/status/connections") or "").splitlines()
        there = {str(self.addresses[one]) for one in self._routers}
        found = {line.split()[1].rpartition(":")[0] for line in lines if "established" in line}
        return set(targets) & there <= found

    def wait(self, what: str, look: Callable[[], object]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not look() and time.monotonic() < end_s:
            time.sleep(LOOK_S)
        assert look(), f"{what}: not within {PATIENCE_S} s"

    def reboot(self, node: str) -> None:
        self.stop_router(node)
        super().reboot(node)
        self.start_router(node)

    def remove(self) -> None:
        for node in list(self._routers):
            self.stop_router(node)
        super().remove()


class RealWeaveWorld(WeaveWorld):
    """With a weaver that is installed."""

    def program(self) -> tuple[str, ...]:
        return (PROGRAM,)
