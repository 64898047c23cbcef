"""The runtimes that a node's settings can name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from cubernetes.host.env import Env
from kubelet.runtime.docker import DockerRuntime
from kubelet.runtime.driver import RuntimeDriver

# Each is made from the environment, the path of its socket and a folder of the node's disk for what
# it writes. A fake is made from its machine.
RUNTIMES: Mapping[str, Callable[[Env, Path, Path], RuntimeDriver]] = {
    "docker": DockerRuntime,
}
