"""What `cuberoot enable serverless` brings along, and what it refuses."""

from pathlib import Path

import msgspec
import pytest

from cubernetes.api.errors import Invalid
from cuberoot import compile, optional  # noqa: A004  a room's word, not the built-in
from cuberoot.cluster import Cluster
from cuberoot.optional import Choice
from cuberoot.plan import Facts, lacks_of_kafka
from cuberoot.registry import optional_program
from serverless.settings import BrokerSettings, ServerlessSettings
from tests.unit.cuberoot.test_compile import MASTER
from tsdb.settings import TsdbSettings

SERVERLESS = optional_program("serverless", "control-plane")
TSDB = optional_program("tsdb", "control-plane")
OWN, NONE = Choice(), Choice(is_without=True)
OTHERS = Choice("a.example:9092, b.example:9092")


def wanted(choice: Choice, before: Cluster = MASTER) -> Cluster:
    return optional._wanted(before, SERVERLESS, choice)


def bus_of(cluster: Cluster) -> ServerlessSettings:
    settings = compile.settings_for(cluster)["serverless"]
    assert isinstance(settings, ServerlessSettings)
    return settings


def problems(choice: Choice, before: Cluster = MASTER) -> list[str]:
    return [one.field for one in optional._problems(choice, SERVERLESS, before)]


def test_serverless_brings_a_broker_that_only_the_program_and_administrators_may_use() -> None:
    cluster = wanted(OWN)
    assert cluster.enabled == ("kafka", "serverless")
    assert wanted(OWN, cluster) == cluster
    bus = bus_of(cluster).bus
    assert bus is not None
    assert bus.brokers == (f"{cluster.address}:9092",)
    assert bus.ca
    assert not bus.is_others
    broker = compile.settings_for(cluster)["kafka"]
    assert isinstance(broker, BrokerSettings)
    assert broker.users == ("system:serverless", "kubernetes-admin")


def test_others_brokers_take_its_place_and_are_kept() -> None:
    cluster = wanted(OTHERS)
    assert cluster.enabled == ("serverless",)
    assert wanted(OWN, cluster) == cluster
    bus = bus_of(cluster).bus
    assert bus is not None
    assert bus.brokers == ("a.example:9092", "b.example:9092")
    assert bus.is_others
    assert bus.replicas == 2


def test_without_a_broker_there_is_none_until_it_is_wanted() -> None:
    cluster = wanted(NONE)
    assert (cluster.enabled, bus_of(cluster).bus) == (("serverless",), None)
    assert wanted(OWN, cluster).enabled == ("kafka", "serverless")


@pytest.mark.parametrize(
    "text", ["a", "a:", "a:0", "a:70000", ":1", "a:1,b", "a b:1", "http://a:1"]
)
def test_a_broker_that_is_no_address_is_refused(text: str) -> None:
    assert problems(Choice(text)) == ["--brokers"]


def test_calls_that_a_broker_has_are_not_left_behind() -> None:
    own, others = wanted(OWN), wanted(OTHERS)
    assert problems(OTHERS, own) == ["--brokers"]
    assert problems(NONE, own) == ["--brokers"]
    assert problems(NONE, others) == ["--without-broker"]
    assert problems(Choice("a:1", is_without=True)) == ["--brokers"]
    assert problems(OWN, own) == problems(OTHERS) == problems(NONE) == []


def test_programs_that_use_no_broker_take_none() -> None:
    told = list(optional._problems(OTHERS, TSDB, MASTER))
    assert [str(one.field) for one in told] == ["--brokers"]
    assert optional._wanted(MASTER, TSDB, OWN).enabled == ("tsdb",)


def test_what_a_broker_needs_is_asked_for_with_its_remedy() -> None:
    facts = Facts(is_root=True, host_name="n", addresses=(), tools={})
    told = [str(one) for one in lacks_of_kafka(facts)]
    assert told[0] == "java is missing: apt-get install default-jre-headless"
    assert told[1] == "Kafka is missing: scripts/install-kafka"
    assert "--brokers HOST:PORT" in told[2]
    there = Facts(True, "n", (), {"java": "/usr/bin/java"}, has_kafka=True)
    assert lacks_of_kafka(there) == []


def test_a_file_of_before_names_no_brokers() -> None:
    old = msgspec.to_builtins(MASTER)
    del old["brokers"]
    assert msgspec.convert(old, type=Cluster).brokers == ()


LONG_TERM = Path(__file__).resolve().parents[3] / "examples" / "tsdb" / "long-term.json"


def test_what_is_chosen_of_the_store_is_in_its_settings_and_is_kept() -> None:
    chosen = optional._wanted(MASTER, TSDB, Choice(settings_file=str(LONG_TERM)))
    settings = compile.settings_for(chosen)["tsdb"]
    assert isinstance(settings, TsdbSettings)
    assert settings.options.retention_s == 172_800
    urls = [one.url for one in settings.remote_write]
    assert urls == ["http://metrics.example:8428/api/v1/write"]
    assert settings.remote_read is not None
    # Without a file, what was chosen before stays.
    assert optional._wanted(chosen, TSDB, OWN).tsdb == chosen.tsdb


def test_a_wrong_file_of_settings_is_refused_by_its_field(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"remote_write": [{"url": "vm:8428"}]}')
    with pytest.raises(Invalid, match=r"--settings.*remote_write"):
        optional._wanted(MASTER, TSDB, Choice(settings_file=str(file)))
    assert problems(Choice(settings_file=str(file))) == ["--settings"]
