"""The broker of calls that must survive, where serverless is enabled without others' brokers. Pure.

It answers certificates of the functions' program and of administrators, and nobody else. Its
controller listens on the loopback, by certificates as well.
"""

from cuberoot import layout
from cuberoot.cluster import Cluster
from cuberoot.layout import pair
from cuberoot.program import CLUSTER, Certificate, Identity, Machine, Port, Program, Site
from serverless.settings import BrokerSettings

PORT = 9092
CONTROLLER_PORT = 9093
USERS = ("system:serverless", "kubernetes-admin")


def settings(site: Site) -> BrokerSettings:
    own = pair("kafka")
    return BrokerSettings(
        jars=str(layout.KAFKA_JARS),
        root=str(layout.KAFKA_STATE),
        address=site.cluster.address,
        port=PORT,
        controller_port=CONTROLLER_PORT,
        cert=str(own.cert),
        key=str(own.key),
        ca=str(layout.CLUSTER_CA.cert),
        users=USERS,
    )


def command(cluster: Cluster) -> tuple[str, ...]:
    settings = str(layout.settings_file("kafka"))
    return (cluster.python, "-m", "serverless.broker", "--settings", settings)


def _identity(machine: Machine) -> Identity:
    addresses = tuple(dict.fromkeys((*machine.addresses, "127.0.0.1")))
    return Identity("system:kafka", (), machine.names, addresses, is_server=True)


PROGRAM = Program(
    name="kafka",
    place="control-plane",
    settings=settings,
    command=command,
    certificates=(Certificate("kafka", CLUSTER, _identity),),
    ports=(Port(PORT, is_closed=True), Port(CONTROLLER_PORT, is_closed=True)),
    reset="serverless.broker.reset",
    is_optional=True,
)
