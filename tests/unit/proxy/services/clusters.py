"""Random services with random endpoints, as hypothesis strategies, and the facts around them."""

from ipaddress import IPv4Network

from hypothesis import strategies as st

from cubernetes.api.core.podspec.container import Protocol
from cubernetes.api.core.service import Service, ServicePort
from cubernetes.api.discovery.endpointslice import Endpoint, EndpointPort, EndpointSlice
from proxy.services.served import Facts
from tests.given import a_service, a_slice, an_endpoint

FACTS = Facts(IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"))

type World = tuple[list[Service], list[EndpointSlice]]


PROTOCOLS: st.SearchStrategy[Protocol] = st.sampled_from(["TCP", "UDP"])


def endpoints() -> st.SearchStrategy[Endpoint]:
    return st.builds(
        lambda node, pod, is_ready, is_going: an_endpoint(
            f"10.244.{node}.{pod}", is_ready=is_ready, is_going=is_going
        ),
        st.integers(1, 3),
        st.integers(2, 5),
        st.booleans(),
        st.booleans(),
    )


@st.composite
def worlds(draw: st.DrawFn, service_count_max: int = 3) -> World:
    """Services with one or two ports (TCP and UDP), each with up to two slices, some of them odd.

    Odd are: an endpoint in both slices, a slice of no service, a port that no slice names.
    """
    services, slices = [], []
    for index in range(draw(st.integers(0, service_count_max))):
        name = f"web-{index}"
        protocols = draw(st.lists(PROTOCOLS, min_size=1, max_size=2))
        ports = [
            ServicePort(port=80 + place, name=f"p{place}", protocol=protocol, target_port=8080)
            for place, protocol in enumerate(protocols)
        ]
        services.append(a_service(name, cluster_ip=f"10.96.0.{10 + index}", ports=ports))
        for number in range(draw(st.integers(0, 2))):
            offered = [
                EndpointPort(name=port.name, protocol=port.protocol, port=8080 + place)
                for place, port in enumerate(ports)
                if draw(st.booleans())
            ]
            slices.append(
                a_slice(
                    f"{name}-{number}",
                    service=name,
                    endpoints=draw(st.lists(endpoints(), max_size=4)),
                    ports=offered,
                )
            )
    return services, slices
