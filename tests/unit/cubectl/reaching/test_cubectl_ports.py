"""Which ports `port-forward` means, of pods and of services."""

import pytest

from cubectl.objects.ports import ports_of
from cubectl.session import Failed, Misused
from cubernetes.api.notation.jsontext import Tree
from cubernetes.client.wire.portforward import Ports

POD: Tree = {
    "metadata": {"name": "web-0"},
    "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}, {}]},
}
SERVICE: Tree = {
    "metadata": {"name": "web"},
    "spec": {
        "ports": [
            {"port": 80, "targetPort": "http", "name": "web"},
            {"port": 9000, "targetPort": 9001},
            {"port": 53},
        ]
    },
}


@pytest.mark.parametrize(
    ("word", "is_of_service", "ports"),
    [
        ("80", False, Ports(80, 80)),
        ("8000:80", False, Ports(8000, 80)),
        (":80", False, Ports(0, 80)),
        ("0:80", False, Ports(0, 80)),
        ("http", False, Ports(8080, 8080)),
        ("1234:http", False, Ports(1234, 8080)),
        ("80", True, Ports(80, 8080)),
        ("8000:web", True, Ports(8000, 8080)),
        ("9000", True, Ports(9000, 9001)),
        (":53", True, Ports(0, 53)),
    ],
)
def test_a_word_means_a_port_here_and_one_in_the_pod(
    word: str, is_of_service: bool, ports: Ports
) -> None:
    assert ports_of(word, POD, SERVICE if is_of_service else None) == ports


@pytest.mark.parametrize("word", ["x:80", "65536", "8080:65536", "1:2:3", "²:80", "-1:80"])
def test_what_is_no_port_is_refused(word: str) -> None:
    with pytest.raises(Misused, match="must be a number from 1 to 65535"):
        ports_of(word, POD, None)


@pytest.mark.parametrize(
    ("word", "service", "said"),
    [
        ("81", SERVICE, "Service web does not have a service port 81"),
        ("ftp", None, "Pod web-0 does not have a port named 'ftp'"),
    ],
)
def test_a_port_that_is_not_there_is_named(word: str, service: Tree | None, said: str) -> None:
    with pytest.raises(Failed, match=said):
        ports_of(word, POD, service)
