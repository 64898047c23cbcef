"""What our broker is told: who may do what, and its bounds."""

from serverless.broker.compile import java_command, properties, properties_text
from serverless.settings import BrokerSettings

TOLD = BrokerSettings(
    jars="/jars",
    root="/state",
    address="192.0.2.1",
    cert="/c",
    key="/k",
    ca="/ca",
    users=("system:serverless",),
)


def test_strangers_are_refused_and_the_controller_is_on_the_loopback() -> None:
    """W42: whoever reached the broker could read and write everything."""
    found = properties(TOLD, "/state/data", "/state/own.pem")
    assert found["listeners"] == "SSL://192.0.2.1:9092,CONTROLLER://127.0.0.1:9093"
    assert found["listener.security.protocol.map"] == "SSL:SSL,CONTROLLER:SSL"
    assert found["ssl.client.auth"] == "required"
    assert found["super.users"] == "User:system:kafka;User:system:serverless"
    assert found["allow.everyone.if.no.acl.found"] == "false"
    assert found["auto.create.topics.enable"] == "false"


def test_what_is_acknowledged_is_on_disk() -> None:
    assert properties(TOLD, "/d", "/k")["log.flush.interval.messages"] == "1"


def test_its_memory_has_bounds() -> None:
    argv = java_command(TOLD, "kafka.Kafka", "/file")
    assert {"-Xmx192m", "-XX:MaxMetaspaceSize=128m", "-XX:MaxDirectMemorySize=64m"} <= set(argv)
    assert argv[-4:] == ("-cp", "/jars/*", "kafka.Kafka", "/file")


def test_properties_are_lines_of_text() -> None:
    assert properties_text({"a.b": "c", "d": "\\e"}) == "a.b=c\nd=\\\\e\n"
