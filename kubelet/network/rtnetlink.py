"""The door to pyroute2: a connection for links, addresses and routes, and nothing else of it.

`import pyroute2` loads all that the library can do, a database and a file server among it: a tenth
of a kubelet's memory and a third of its start. So the package is an empty one while the modules are
found that a kubelet needs. Other importers of pyroute2 get all of it, as always.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

__all__ = ["AsyncIPRoute", "CoreDatagramProtocol", "NetlinkError"]


@contextmanager
def _hollow(package: str) -> Generator[None, None, None]:
    """Let modules of a package be imported without running the package's own code."""
    spec = find_spec(package)
    if spec is None or package in sys.modules:
        yield
        return
    sys.modules[package] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]


with _hollow("pyroute2"):
    from pyroute2.iproute.linux import AsyncIPRoute
    from pyroute2.netlink.core import CoreDatagramProtocol
    from pyroute2.netlink.exceptions import NetlinkError
