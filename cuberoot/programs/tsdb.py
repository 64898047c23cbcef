"""The time-series store: it follows all programs of its node, and every node's pods. Pure.

It listens on the loopback, as the metrics themselves do: every local process may ask and write.
"""

from cubernetes.reconcile.readings import KUBELETS_JOB
from cuberoot import layout
from cuberoot.cluster import API_PORT, Cluster
from cuberoot.layout import pair
from cuberoot.program import (
    CLUSTER,
    Certificate,
    Health,
    Identity,
    Port,
    Program,
    Site,
)
from tsdb.settings import ScrapeJob, ScrapeTls, TargetGroup, TsdbSettings

PORT = 9090
LOOPBACK = "127.0.0.1"
# Of kubelets the API server says how often they are asked: each second while autoscalers decide.
KUBELETS_S, DISCOVERY_S, PODS_S = 2.0, 5.0, 10.0
POD_SAMPLES_MAX, POD_BYTES_MAX = 5000, 2 * 2**20
URL = f"http://{LOOPBACK}:{PORT}"


def settings(site: Site) -> TsdbSettings:
    """Return settings by which every program of the node is scraped that has metrics."""
    own, ca = pair("tsdb"), str(layout.CLUSTER_CA.cert)
    tls = ScrapeTls(ca=ca, certificate=str(own.cert), key=str(own.key))
    counted = [(one.name, one.metrics) for one in site.here if one.metrics is not None]
    guarded = [
        ScrapeJob(
            name=name,
            scheme="https",
            tls=tls,
            groups=[TargetGroup(targets=[f"{LOOPBACK}:{metrics.port}"])],
        )
        for name, metrics in counted
        if metrics.scheme == "https"
    ]
    open_groups = [
        TargetGroup(targets=[f"{LOOPBACK}:{metrics.port}"], labels={"program": name})
        for name, metrics in counted
        if metrics.scheme == "http"
    ]
    # The API server names every node's kubelet, as nodes come and go.
    kubelets = ScrapeJob(
        name=KUBELETS_JOB,
        interval_s=KUBELETS_S,
        timeout_s=KUBELETS_S,
        scheme="https",
        tls=tls,
        http_sd=[f"https://{LOOPBACK}:{API_PORT}/metrics/targets"],
        http_sd_interval_s=DISCOVERY_S,
    )
    # And the pods that want to be scraped. What they say is bounded, and neither their clock nor an
    # address that they send us to is believed.
    pods = ScrapeJob(
        name="pods",
        interval_s=PODS_S,
        timeout_s=KUBELETS_S,
        tls=tls,
        http_sd=[f"https://{LOOPBACK}:{API_PORT}/metrics/targets/pods"],
        http_sd_interval_s=DISCOVERY_S,
        honor_timestamps=False,
        follow_redirects=False,
        sample_limit=POD_SAMPLES_MAX,
        body_bytes=POD_BYTES_MAX,
    )
    jobs = [*guarded, kubelets, pods, ScrapeJob(name="programs", groups=open_groups)]
    chosen = site.cluster.tsdb
    return TsdbSettings(
        data_dir=str(layout.TSDB_STATE),
        host=LOOPBACK,
        port=PORT,
        scrape=jobs,
        limits=chosen.limits,
        options=chosen.options,
        remote_write=chosen.remote_write,
        remote_read=chosen.remote_read,
    )


def _health(_cluster: Cluster) -> Health:
    return Health(f"{URL}/-/ready")


PROGRAM = Program(
    name="tsdb",
    place="control-plane",
    settings=settings,
    # Read the API server's metrics and what pods use, and nothing else.
    certificates=(
        Certificate("tsdb", CLUSTER, lambda _: Identity("tsdb", ("system:monitoring",))),
    ),
    ports=(Port(PORT),),
    health=_health,
    is_optional=True,
)
