"""The runtimes that a node's settings can name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from cubernetes.host.env import Env
from kubelet.runtime.docker import DockerRuntime
from kubelet.runtime.driver import RuntimeDriver

# Each is made from the environment, the path of its socket and the kubelet's two folders, in which
# the driver has folders of its own: what lasts, and what the next boot begins without. A fake is
# made from its machine.
RUNTIMES: Mapping[str, Callable[[Env, Path, Path, Path], RuntimeDriver]] = {
    "docker": DockerRuntime,
}
