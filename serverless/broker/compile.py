"""From the broker's settings to its command lines and its file of properties. Pure.

Bounds: the heap; segments of 16 MiB, which topics keep by limits of their own. Each append is on
disk before it is acknowledged: with one broker nobody else has it.
"""

from collections.abc import Mapping

from serverless.settings import BrokerSettings

SEGMENT_BYTES = 16 * 1024 * 1024
RECORD_BYTES_MAX = 2 * 1024 * 1024
# Where a topic of somebody else's says nothing: for each of its partitions.
PARTITION_BYTES_MAX = 256 * 1024 * 1024
OWN_USER = "system:kafka"
FORMATTER, SERVER = "kafka.tools.StorageTool", "kafka.Kafka"


def java_command(told: BrokerSettings, kind: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a class of Kafka's."""
    return (
        told.java,
        "-Xms48m",
        f"-Xmx{told.heap_mib}m",
        "-Xss512k",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:MaxMetaspaceSize=128m",
        "-XX:MaxDirectMemorySize=64m",
        # What cannot go on is begun anew by its supervisor.
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{told.jars}/*",
        kind,
        *arguments,
    )


def properties(told: BrokerSettings, folder: str, keystore: str) -> Mapping[str, str]:
    """Return what the broker reads. folder: of its data; keystore: key and certificate, PEM."""
    own = f"SSL://{told.address}:{told.port}"
    controller = f"CONTROLLER://127.0.0.1:{told.controller_port}"
    users = ";".join(f"User:{name}" for name in (OWN_USER, *told.users))
    alone = {
        f"{topic}.{word}": "1"
        for topic in ("transaction.state.log", "share.coordinator.state.topic")
        for word in ("num.partitions", "replication.factor", "min.isr")
    }
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"{own},{controller}",
        "advertised.listeners": f"{own},{controller}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{told.controller_port}",
        "listener.security.protocol.map": "SSL:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keystore,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": told.ca,
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]*).*$/$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": users,
        "allow.everyone.if.no.acl.found": "false",
        "log.dirs": folder,
        "auto.create.topics.enable": "false",
        "log.flush.interval.messages": "1",
        "log.segment.bytes": str(SEGMENT_BYTES),
        "log.retention.bytes": str(PARTITION_BYTES_MAX),
        "message.max.bytes": str(RECORD_BYTES_MAX),
        "min.insync.replicas": "1",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        # A group that reads by hand has no members: what it has committed must outlive a pause.
        "offsets.retention.minutes": str(30 * 24 * 60),
        "num.network.threads": "1",
        "num.io.threads": "2",
        "background.threads": "1",
        "num.recovery.threads.per.data.dir": "1",
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
        **alone,
    }


def properties_text(found: Mapping[str, str]) -> str:
    return "".join(f"{name}={_escaped(value)}\n" for name, value in found.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
