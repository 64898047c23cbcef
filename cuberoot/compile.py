"""From what a node knows of its cluster to every file that its programs read. Pure."""

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from apiserver.settings import Settings as ApiServerSettings
from controllers.settings import ControllersSettings
from cubernetes.api.core.qos import PROGRAM_OOM_SCORE
from cubernetes.client.connect import ClientSettings
from cubernetes.host.settings import Settings, settings_bytes
from cuberoot import layout
from cuberoot.cluster import (
    API_PORT,
    CONTROLLERS_METRICS_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    KUBELET_METRICS_PORT,
    KUBELET_PORT,
    PROXY_METRICS_PORT,
    SCHEDULER_METRICS_PORT,
    Cluster,
)
from cuberoot.layout import pair
from kubelet.settings import KubeletSettings, ServingSettings
from proxy.settings import ProxySettings
from scheduler.settings import SchedulerSettings

# In the order in which they are started; they are stopped in the reverse order.
CONTROL_PLANE = ("etcd", "apiserver", "scheduler", "controllers")
EVERY_NODE = ("kubelet", "proxy")

EXECUTABLE, READABLE, SECRET = 0o755, 0o644, 0o600


class File(NamedTuple):
    content: bytes
    mode: int


type Files = Mapping[Path, File]


def programs_of(cluster: Cluster) -> tuple[str, ...]:
    return (*CONTROL_PLANE, *EVERY_NODE) if cluster.is_control_plane else EVERY_NODE


def files_for(cluster: Cluster) -> Files:
    """Return every settings and supervision file of a node, by path."""
    files = {
        layout.settings_file(program): File(settings_bytes(settings), SECRET)
        for program, settings in settings_for(cluster).items()
    }
    commands = {program: command_of(program, cluster) for program in programs_of(cluster)}
    if cluster.supervision == "systemd":
        for program, argv in commands.items():
            unit = unit_text(program, argv).encode()
            files[layout.unit_file(program)] = File(unit, READABLE)
        files[layout.SLICE] = files[layout.POD_SLICES] = File(SLICE_TEXT.encode(), READABLE)
    else:
        text = supervisord_text(commands).encode()
        files[layout.SUPERVISORD_CONFIG] = File(text, SECRET)
        files[layout.BOOT] = File(boot_text(cluster).encode(), EXECUTABLE)
    return files


def settings_for(cluster: Cluster) -> Mapping[str, Settings]:
    """Return the settings of each Python program of the node, by its name."""
    settings: dict[str, Settings] = {
        "kubelet": _kubelet(cluster),
        "proxy": ProxySettings(
            client=client_for("proxy", cluster),
            pod_range=cluster.pod_range,
            service_range=cluster.service_range,
            checkpoint=str(layout.PROXY_CHECKPOINT),
            metrics_port=PROXY_METRICS_PORT,
        ),
    }
    if cluster.is_control_plane:
        settings |= {
            "apiserver": _apiserver(cluster),
            "scheduler": SchedulerSettings(
                client=client_for("scheduler", cluster), metrics_port=SCHEDULER_METRICS_PORT
            ),
            "controllers": ControllersSettings(
                client=client_for("controllers", cluster),
                pod_range=cluster.pod_range,
                metrics_port=CONTROLLERS_METRICS_PORT,
            ),
        }
    return settings


def client_for(program: str, cluster: Cluster) -> ClientSettings:
    own = pair(program)
    return ClientSettings(
        servers=cluster.servers,
        ca=str(layout.CLUSTER_CA.cert),
        cert=str(own.cert),
        key=str(own.key),
    )


def _kubelet(cluster: Cluster) -> KubeletSettings:
    serving = pair("kubelet-serving")
    return KubeletSettings(
        node_name=cluster.node_name,
        address=cluster.address,
        client=client_for("kubelet", cluster),
        serving=ServingSettings(
            port=KUBELET_PORT,
            cert=str(serving.cert),
            key=str(serving.key),
            client_ca=str(layout.CLUSTER_CA.cert),
        ),
        labels=cluster.labels,
        root=str(layout.KUBELET_STATE),
        pod_range=cluster.pod_range,
        closed_ports=(ETCD_PORT, ETCD_PEER_PORT, KUBELET_PORT),
        metrics_port=KUBELET_METRICS_PORT,
        ports_in_use=tuple(f"{port}/TCP" for port in ports_of(cluster)),
    )


def ports_of(cluster: Cluster) -> tuple[int, ...]:
    """Return the TCP ports of this node that its programs have, on whichever address."""
    every_node = (KUBELET_PORT, KUBELET_METRICS_PORT, PROXY_METRICS_PORT)
    control_plane = (
        API_PORT, ETCD_PORT, ETCD_PEER_PORT, SCHEDULER_METRICS_PORT, CONTROLLERS_METRICS_PORT,
    )  # fmt: skip
    return (*every_node, *control_plane) if cluster.is_control_plane else every_node


def _apiserver(cluster: Cluster) -> ApiServerSettings:
    serving, etcd, logs = pair("apiserver"), pair("apiserver-etcd"), pair("apiserver-kubelet")
    ca = str(layout.CLUSTER_CA.cert)
    return ApiServerSettings(
        listen_port=API_PORT,
        advertise_addresses=(cluster.address,),
        cert=str(serving.cert),
        key=str(serving.key),
        client_ca=ca,
        client_ca_key=str(layout.CLUSTER_CA.key),
        kubelet_cert=str(logs.cert),
        kubelet_key=str(logs.key),
        kubelet_ca=ca,
        strangers_log=str(layout.log_file("strangers")),
        state=str(layout.APISERVER_STATE),
        etcd_servers=(f"127.0.0.1:{ETCD_PORT}",),
        etcd_ca=str(layout.ETCD_CA.cert),
        etcd_cert=str(etcd.cert),
        etcd_key=str(etcd.key),
        etcd_quota_bytes=cluster.store_quota_bytes,
        service_range=cluster.service_range,
        pod_range=cluster.pod_range,
    )


def command_of(program: str, cluster: Cluster) -> tuple[str, ...]:
    """Return the command line of a program."""
    if program == "etcd":
        return etcd_command(cluster)
    settings = str(layout.settings_file(program))
    return (cluster.python, "-m", program, "--settings", settings)


def etcd_command(cluster: Cluster) -> tuple[str, ...]:
    """Return etcd's command line: mTLS on both ports, one member, history kept for 10 minutes.

    With one member there is nobody to elect: the short election makes it answer within 0.1 s of
    its start (measured: 0.07-0.11 s, against 1.1-1.8 s by default).
    """
    server, ca = pair("etcd"), str(layout.ETCD_CA.cert)
    peer = f"https://{cluster.address}:{ETCD_PEER_PORT}"
    client = f"https://127.0.0.1:{ETCD_PORT}"
    options = {
        "name": cluster.node_name,
        "data-dir": str(layout.ETCD_STATE),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{cluster.node_name}={peer}",
        "client-cert-auth": "true",
        "trusted-ca-file": ca,
        "cert-file": str(server.cert),
        "key-file": str(server.key),
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": ca,
        "peer-cert-file": str(server.cert),
        "peer-key-file": str(server.key),
        "heartbeat-interval": "10",
        "election-timeout": "50",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
        "quota-backend-bytes": str(cluster.store_quota_bytes),
        "max-txn-ops": "128",
        "log-level": "warn",
    }
    return (cluster.etcd, *(f"--{key}={value}" for key, value in options.items()))


def unit_text(program: str, argv: tuple[str, ...]) -> str:
    """Return a systemd unit.

    CollectMode: one that did not stop in time is forgotten as the others are. KillMode: what a
    program has started (containers) goes on. OOMScoreAdjust: where memory ends, every pod does
    before a program of the cluster. LogRateLimit: a busy API server's audit is whole.
    """
    after = " ".join(["network-online.target", *_after(program)])
    return f"""\
[Unit]
Description=Cubernetes {program}
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
SyslogIdentifier=cube-{program}
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


def _after(program: str) -> list[str]:
    return {"kubelet": ["docker.service"], "apiserver": ["cube-etcd.service"]}.get(program, [])


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
