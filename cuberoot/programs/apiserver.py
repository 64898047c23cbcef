"""The API server, and whom it is before etcd, clients and kubelets. Pure."""

from ipaddress import IPv4Network

from apiserver.settings import Settings as ApiServerSettings
from cuberoot import layout
from cuberoot.cluster import API_PORT, Cluster
from cuberoot.layout import pair
from cuberoot.program import (
    CLUSTER,
    ETCD,
    Certificate,
    Health,
    Identity,
    Machine,
    Metrics,
    Port,
    Program,
    Site,
)
from cuberoot.programs import etcd, gpu, tsdb

SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")


def settings(site: Site) -> ApiServerSettings:
    cluster = site.cluster
    serving, store, logs = pair("apiserver"), pair("apiserver-etcd"), pair("apiserver-kubelet")
    ca = str(layout.CLUSTER_CA.cert)
    return ApiServerSettings(
        listen_port=API_PORT,
        advertise_addresses=(cluster.address,),
        cert=str(serving.cert),
        key=str(serving.key),
        client_ca=ca,
        client_ca_key=str(layout.CLUSTER_CA.key),
        account_key=str(layout.SERVICE_ACCOUNTS.key),
        account_keys_retired=str(layout.SERVICE_ACCOUNTS_RETIRED),
        account_issuer=f"https://kubernetes.default.svc.{cluster.cluster_domain}",
        kubelet_cert=str(logs.cert),
        kubelet_key=str(logs.key),
        kubelet_ca=ca,
        strangers_log=str(layout.log_file("strangers")),
        state=str(layout.APISERVER_STATE),
        etcd_servers=(f"127.0.0.1:{etcd.CLIENT_PORT}",),
        etcd_ca=str(layout.ETCD_CA.cert),
        etcd_cert=str(store.cert),
        etcd_key=str(store.key),
        etcd_quota_bytes=cluster.store_quota_bytes,
        service_range=cluster.service_range,
        pod_range=cluster.pod_range,
        network=cluster.network,
        cni_config=cluster.cni_config,
        weave_password=cluster.weave_password,
        cluster_domain=cluster.cluster_domain,
        node_port_range=cluster.node_port_range,
        pod_security=cluster.pod_security,
        pod_security_exempt=("kube-system",),
        # Whether the node runs the store or not: enabling it later must not begin this server anew.
        metrics_url=tsdb.URL,
        jobs_url=gpu.URL,
    )


def _server(machine: Machine) -> Identity:
    service_ip = str(IPv4Network(machine.service_range)[1])
    whole = f"{SERVICE_NAMES[-1]}.{machine.cluster_domain}"
    names = (*machine.names, *SERVICE_NAMES, whole)
    return Identity("kube-apiserver", (), names, (*machine.addresses, service_ip), is_server=True)


def _health(cluster: Cluster) -> Health:
    url = f"https://{cluster.address}:{API_PORT}/readyz"
    return Health(url, layout.CLUSTER_CA.cert, pair("admin"))


PROGRAM = Program(
    name="apiserver",
    place="control-plane",
    settings=settings,
    certificates=(
        Certificate("apiserver-etcd", ETCD, lambda _: Identity("apiserver")),
        Certificate("apiserver", CLUSTER, _server),
        Certificate("apiserver-kubelet", CLUSTER, lambda _: Identity("system:apiserver")),
    ),
    after=("etcd",),
    ports=(Port(API_PORT),),
    metrics=Metrics(API_PORT, "https"),
    health=_health,
)
