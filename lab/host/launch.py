"""Turn a process of this machine into PID 1 of a node host: `python -m lab.host.launch SPEC`.

It prints the pid of the node's first process, as this machine counts, and ends; the node lives on
by itself. What goes wrong later is in the node's log.
"""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab.host.root import build_root, enter_root
from lab.host.spec import IN_NODE, NodeSpec

NAMESPACES = (
    os.CLONE_NEWNS
    | os.CLONE_NEWUTS
    | os.CLONE_NEWIPC
    | os.CLONE_NEWNET
    | os.CLONE_NEWPID
    | os.CLONE_NEWCGROUP
)


def main(argv: Sequence[str]) -> int:
    """Launch the node that the spec file argv[1] describes."""
    spec = msgspec.json.decode(Path(argv[1]).read_bytes(), type=NodeSpec)
    # First into the groups: the cgroup namespace begins where its maker stands.
    for gate in spec.gates:
        Path(gate).write_text("0")
    os.unshare(NAMESPACES)
    pid = os.fork()
    if pid:
        sys.stdout.write(f"{pid}\n")
        return 0
    become_node(spec)
    return 1


def become_node(spec: NodeSpec) -> None:
    """Leave everything of the machine behind and run the node's init; does not return."""
    os.setsid()
    log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    root = build_root(spec)
    socket.sethostname(spec.name)
    enter_root(root)
    IN_NODE.write_bytes(msgspec.json.encode(spec))
    environment = {"PATH": spec.path, "HOME": "/root", "PYTHONPATH": spec.python_path}
    os.execve(spec.python, [spec.python, "-m", "lab.host.init"], environment)  # noqa: S606  no shell


if __name__ == "__main__":
    sys.exit(main(sys.argv))
