"""What a kubelet tells of the ways to the other nodes: asked by `cuberoot net check`."""

from cubernetes.api.meta import Model


class PathReport(Model):
    """One way. node_ms, pods_ms: the round trip by the nodes' network, by the pods'; none: silence.

    node_mtu, pods_mtu: the largest packet that came back whole. blocked: what blocks, or empty.
    """

    to: str
    address: str
    node_ms: float | None = None
    pods_ms: float | None = None
    node_mtu: int = 0
    pods_mtu: int = 0
    blocked: str = ""


class ReachReport(Model):
    paths: tuple[PathReport, ...] = ()


class SinkReport(Model):
    """A port that is open for one measurement: the connection has to bring the token."""

    port: int
    token: str


class RateReport(Model):
    """got_bytes: what arrived in span_s. why: nothing is known, and why."""

    got_bytes: int = 0
    span_s: float = 0.0
    why: str = ""
