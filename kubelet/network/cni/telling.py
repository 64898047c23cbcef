"""What CNI plugins are told of a pod, and what of their answer is believed. Pure."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from cubernetes.host.cni.results import Result
from kubelet.network.driver import NetworkTrouble, NetworkWish, PodWishes

# How much may pass at once beyond the rate, in bits: as much as the plugin takes.
BURST_BITS = 2**31 - 1


def args_for(uid: str, wishes: PodWishes, address: IPv4Address | None) -> dict[str, object]:
    """Return CNI_ARGS: what Kubernetes' own kubelets tell, and the address that is asked for."""
    told: dict[str, object] = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": wishes.namespace,
        "K8S_POD_NAME": wishes.name,
        "K8S_POD_INFRA_CONTAINER_ID": wishes.sandbox_id,
        "K8S_POD_UID": uid,
    }
    return told | ({"IP": str(address)} if address is not None else {})


def runtime_for(wishes: PodWishes, address: IPv4Address | None) -> dict[str, object]:
    """Return runtimeConfig by capability: each plugin is told what it declares."""
    told: dict[str, object] = {
        "portMappings": [
            {
                "hostPort": one.host_port,
                "containerPort": one.port,
                "protocol": one.protocol,
                **({"hostIP": one.host_ip} if one.host_ip else {}),
            }
            for one in wishes.ports
        ]
    }
    if address is not None:
        told["ips"] = [str(address)]
    rates = {"ingress": wishes.ingress_bits_s, "egress": wishes.egress_bits_s}
    if any(rates.values()):
        told["bandwidth"] = {
            key: value
            for way, rate in rates.items()
            if rate
            for key, value in ((f"{way}Rate", rate), (f"{way}Burst", BURST_BITS))
        }
    return told


def runtime_for_wish(wish: NetworkWish) -> dict[str, object]:
    """Return runtimeConfig of a further interface."""
    return ({"ips": list(wish.ips)} if wish.ips else {}) | ({"mac": wish.mac} if wish.mac else {})


def judged(
    result: Result,
    pod_range: IPv4Network,
    others: Mapping[str, IPv4Address],
    asked: IPv4Address | None,
) -> IPv4Address:
    """Return the pod's address by the plugins' answer.

    others: addresses that other pods have. asked: the address that it had to be.

    Raises: NetworkTrouble: it is none that a pod of this node can have.
    """
    if not result.addresses:
        raise NetworkTrouble("CNI: the plugins gave no IPv4 address")
    address = result.addresses[0].ip
    if asked is not None and address != asked:
        raise NetworkTrouble(
            f"CNI: the plugins gave {address}, and {asked} was asked for: the range of a node "
            "(usePodCidr) must be given out by a plugin that heeds IP in CNI_ARGS, as host-local"
        )
    if address not in pod_range:
        raise NetworkTrouble(
            f"CNI: the plugins gave {address}, which is none of the cluster's pods ({pod_range}): "
            "cuberoot init --pod-range says which are"
        )
    if holder := next((uid for uid, one in others.items() if one == address), ""):
        raise NetworkTrouble(f"CNI: the plugins gave {address}, which the pod {holder} has")
    return address
