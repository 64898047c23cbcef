"""The kubelet takes of pyroute2 what it needs, and leaves it whole for others."""

import subprocess
import sys

LEAN = """
import sys
import kubelet.run
assert "pyroute2.iproute.linux" in sys.modules
assert "pyroute2.ndb.main" not in sys.modules, "all of pyroute2 was loaded"
from pyroute2 import NDB, AsyncIPRoute
from kubelet.network.rtnetlink import AsyncIPRoute as ours
assert AsyncIPRoute is ours
"""
FULL = """
import pyroute2
from kubelet.network.rtnetlink import AsyncIPRoute, NetlinkError
assert AsyncIPRoute is pyroute2.AsyncIPRoute
assert NetlinkError is pyroute2.netlink.exceptions.NetlinkError
"""


def run(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_kubelet_does_without_most_of_pyroute2_and_others_still_get_it_all() -> None:
    run(LEAN)


def test_who_has_imported_pyroute2_already_keeps_it() -> None:
    run(FULL)
