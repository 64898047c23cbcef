"""From what a node knows of its cluster to every file that its programs read. Pure."""

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from cubernetes.api.core.podspec.qos import PROGRAM_OOM_SCORE
from cubernetes.host.settings import Settings, settings_bytes
from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.program import Program
from cuberoot.registry import programs_of, site_of

EXECUTABLE, READABLE, SECRET = 0o755, 0o644, 0o600


class File(NamedTuple):
    content: bytes
    mode: int


type Files = Mapping[Path, File]


def files_for(cluster: Cluster) -> Files:
    """Return every settings and supervision file of a node, by path."""
    files = {
        layout.settings_file(program): File(settings_bytes(settings), SECRET)
        for program, settings in settings_for(cluster).items()
    }
    programs = programs_of(cluster)
    if cluster.supervision == "systemd":
        names = frozenset(one.name for one in programs)
        for program in programs:
            unit = unit_text(program, program.argv(cluster), names).encode()
            files[layout.unit_file(program.name)] = File(unit, READABLE)
        files[layout.SLICE] = files[layout.POD_SLICES] = File(SLICE_TEXT.encode(), READABLE)
    else:
        text = supervisord_text({one.name: one.argv(cluster) for one in programs}).encode()
        files[layout.SUPERVISORD_CONFIG] = File(text, SECRET)
        files[layout.BOOT] = File(boot_text(cluster).encode(), EXECUTABLE)
    return files


def files_of(program: Program) -> tuple[Path, ...]:
    """Return the files that are a program's own, under each supervisor."""
    return (layout.settings_file(program.name), layout.unit_file(program.name))


def settings_for(cluster: Cluster) -> Mapping[str, Settings]:
    """Return the settings of each program of the node that reads some, by its name."""
    site = site_of(cluster)
    return {one.name: one.settings(site) for one in site.here if one.settings is not None}


def unit_text(program: Program, argv: tuple[str, ...], here: frozenset[str]) -> str:
    """Return a systemd unit; here: the names of the programs of this node.

    CollectMode: one that did not stop in time is forgotten as the others are. KillMode: what a
    program has started (containers) goes on. OOMScoreAdjust: where memory ends, every pod does
    before a program of the cluster. LogRateLimit: a busy API server's audit is whole.
    """
    ours = (layout.unit_file(one).name for one in program.after if one in here)
    after = " ".join(["network-online.target", *program.units_before, *ours])
    return f"""\
[Unit]
Description=Cubernetes {program.name}
After={after}
Wants=network-online.target
StartLimitIntervalSec=0
CollectMode=inactive-or-failed

[Service]
Type=exec
ExecStart={" ".join(_systemd_word(word) for word in argv)}
Restart=always
RestartSec=0.5
TimeoutStopSec=10
KillMode=process
OOMScoreAdjust={PROGRAM_OOM_SCORE}
LimitNOFILE=65536
UMask=0077
SyslogIdentifier=cube-{program.name}
LogRateLimitIntervalSec=0

[Install]
WantedBy=multi-user.target
"""


# Where Docker leaves control groups to systemd, pods are slices, and nobody else ends them.
SLICE_TEXT = """\
[Unit]
Description=Pods of Cubernetes
StopWhenUnneeded=yes
"""


def _systemd_word(word: str) -> str:
    """Quote for systemd: % begins a specifier there, $ a variable."""
    return shlex.quote(word.replace("%", "%%").replace("$", "$$"))


def supervisord_text(commands: Mapping[str, tuple[str, ...]]) -> str:
    """Return supervisord's file; each program is restarted for ever, its log kept small."""
    text = f"""\
[supervisord]
logfile={layout.log_file("supervisord")}
logfile_maxbytes=5MB
logfile_backups=1
pidfile={layout.SUPERVISORD_PID}
umask=077

[unix_http_server]
file={layout.SUPERVISORD_SOCKET}
chmod=0600

[supervisorctl]
serverurl=unix://{layout.SUPERVISORD_SOCKET}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    for program, argv in commands.items():
        command = " ".join(shlex.quote(word) for word in argv).replace("%", "%%")
        text += f"""
[program:{program}]
command={command}
directory=/
autostart=false
autorestart=true
startsecs=0
startretries=1000000
stopwaitsecs=10
stopsignal=TERM
redirect_stderr=true
stdout_logfile={layout.log_file(program)}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""
    return text


def boot_text(cluster: Cluster) -> str:
    """Return the file that a machine without systemd runs when it boots."""
    python = shlex.quote(cluster.python)
    what = "# Starts this node's programs; written by cuberoot."
    return f"#!/bin/sh\n{what}\nexec {python} -m cuberoot start\n"


def kubeconfig_text(cluster: Cluster, ca: bytes, cert: bytes, key: bytes) -> str:
    """Return the administrator's kubeconfig, with everything inside."""
    cluster_part = {
        "server": cluster.servers[0],
        "certificate-authority-data": base64.b64encode(ca).decode(),
    }
    user_part = {
        "client-certificate-data": base64.b64encode(cert).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cubernetes", "cluster": cluster_part}],
        "users": [{"name": "admin", "user": user_part}],
        "contexts": [
            {"name": "admin@cubernetes", "context": {"cluster": "cubernetes", "user": "admin"}}
        ],
        "current-context": "admin@cubernetes",
    }
    return yaml.safe_dump(tree, sort_keys=False)
