"""A node host whose PID 1 is systemd: the few units of the machine that it may see, and Docker.

The machine's own services are the machine's: a node that started them would set the clock, load
modules and answer on the network. So it is shown only what is named here.
"""

import os
import shutil
import signal
from pathlib import Path

from lab.host.syscall import mount

# Containers end before their engine does, as with the units of Docker and of containerd.
ENGINE_OOM_SCORE = -999
PROGRAM = Path("/lib/systemd/systemd")
VENDOR = Path("/lib/systemd/system")
# Programs that make units of what they find on a machine: a node has none of them.
GENERATORS = Path("/lib/systemd/system-generators")
# The power button. TERM would only make it begin itself anew.
POWER_OFF = signal.SIGRTMIN + 4
# On a machine of version 1: not the machine's own, empty version 2 tree beside it.
LEGACY = "systemd.legacy_systemd_cgroup_controller=yes"
TARGETS = (
    "basic", "final", "local-fs", "multi-user", "network", "network-online", "paths", "poweroff",
    "reboot", "shutdown", "slices", "sockets", "swap", "sysinit", "timers", "umount",
)  # fmt: skip
SHOWN = (
    *(f"{name}.target" for name in TARGETS),
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-poweroff.service",
    "systemd-reboot.service",
)
WANTED = {
    "multi-user.target": "docker.service",
    "sockets.target": "systemd-journald-dev-log.socket",
    "sysinit.target": "systemd-journald.service",
}
# KillMode: with live-restore, containers outlive their dockerd.
DOCKER = """\
[Unit]
Description=Docker
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={dockerd}
StandardOutput=append:/var/log/dockerd.log
StandardError=inherit
Restart=always
RestartSec=0.1
KillMode=process
Delegate=yes
OOMScoreAdjust={score}
LimitNOFILE=1048576
TasksMax=infinity
"""
# A unit that does not end with the machine is killed as soon as by our own PID 1.
MANAGER = """\
[Manager]
DefaultTimeoutStopSec=10s
"""


def become_systemd() -> None:
    """Turn this process, PID 1 of a node, into systemd; does not return."""
    _show_units()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Its own word for: leave the kernel, the clock and the devices alone.
    environment = {"container": "cuberoot-lab"}
    argv = [str(PROGRAM), "--unit=multi-user.target", LEGACY]
    os.execve(PROGRAM, argv, environment)  # noqa: S606  no shell


def _show_units() -> None:
    texts = {name: (VENDOR / name).read_text() for name in SHOWN}
    texts["docker.service"] = DOCKER.format(dockerd=shutil.which("dockerd"), score=ENGINE_OOM_SCORE)
    for folder in (VENDOR, GENERATORS):
        mount("units", folder, "tmpfs", options="mode=755,size=1m")
    for name, text in texts.items():
        (VENDOR / name).write_text(text)
    for target, unit in WANTED.items():
        wants = VENDOR / f"{target}.wants"
        wants.mkdir()
        (wants / unit).symlink_to(f"../{unit}")
    # Where a node's own units go; the machine's were forgotten with the first boot.
    Path("/etc/systemd/system").mkdir(parents=True, exist_ok=True)
    settings = Path("/run/systemd/system.conf.d/lab.conf")
    settings.parent.mkdir(parents=True)
    settings.write_text(MANAGER)
