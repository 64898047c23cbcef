"""What a pod's network may know of the pod: its names, its ports of the node, its limits."""

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.hostport import led_ports
from cubernetes.api.quantities import Quantity, QuantityInvalid
from kubelet.network.driver import NetworkTrouble, PodWishes, PortWish
from kubelet.pod.decisions.networks import networks_of

# In bits a second. Networks whose plugins can limit obey them; others know no limits.
INGRESS, EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"


def wishes_of(pod: Pod, sandbox_id: str) -> PodWishes:
    """Raises: NetworkTrouble: an annotation is no rate."""
    return PodWishes(
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        sandbox_id=sandbox_id,
        ports=tuple(PortWish(*one) for one in led_ports(pod.spec)),
        ingress_bits_s=_rate(pod, INGRESS),
        egress_bits_s=_rate(pod, EGRESS),
        networks=networks_of(pod),
    )


def _rate(pod: Pod, annotation: str) -> int:
    text = pod.metadata.annotations.get(annotation, "")
    if not text:
        return 0
    try:
        rate = Quantity(text).whole
    except QuantityInvalid as error:
        raise NetworkTrouble(f"metadata.annotations[{annotation}]: {error}") from error
    if rate < 1:
        raise NetworkTrouble(
            f"metadata.annotations[{annotation}]: must be more than 0: {text[:40]!r}"
        )
    return rate
