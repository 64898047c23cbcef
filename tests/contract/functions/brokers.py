"""A real broker for the tests that need one: begun once, on ports of its own, with certificates."""

import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cubernetes.host.env import Env
from cubernetes.host.settings import settings_bytes
from cuberoot import pki
from cuberoot.program import Identity
from serverless.broker.compile import OWN_USER
from serverless.bus.kafka import config_of
from serverless.settings import BrokerSettings, BusSettings
from tests.contract.functions.runners import ROOT
from tests.ports import free_ports

JARS = ROOT / "var" / "kafka"
HOST = "127.0.0.1"
USER = "system:serverless"
UP_S = 300.0
LOOK_S = 1.0


def reason_to_skip() -> str:
    """Return why there can be no broker here; empty: there can."""
    if shutil.which("java") is None:
        return "no java on PATH"
    return "" if JARS.is_dir() else "no var/kafka: scripts/install-kafka"


class Broker:
    """`python -m serverless.broker` in a folder."""

    def __init__(self, folder: Path) -> None:
        now = Env().clock.now()
        self._folder = folder
        self.ca = pki.new_ca("cluster", now)
        own = Identity(OWN_USER, (), ("localhost",), (HOST,), is_server=True)
        for name, identity in {
            "kafka": own,
            "client": Identity(USER),
            "other": Identity("other", ("system:masters",)),
        }.items():
            signed = pki.new_cert(identity, self.ca, now)
            (folder / f"{name}.crt").write_bytes(signed.cert)
            (folder / f"{name}.key").write_bytes(signed.key)
        (folder / "ca.crt").write_bytes(self.ca.cert)
        port, controller_port = free_ports(2)
        self.settings = BrokerSettings(
            jars=str(JARS),
            root=str(folder / "broker"),
            address=HOST,
            port=port,
            controller_port=controller_port,
            cert=str(folder / "kafka.crt"),
            key=str(folder / "kafka.key"),
            ca=str(folder / "ca.crt"),
            users=(USER,),
        )
        (folder / "broker.json").write_bytes(settings_bytes(self.settings))
        self._process: subprocess.Popen[bytes] | None = None

    def access(self, user: str = "client") -> BusSettings:
        return BusSettings(
            brokers=(f"{HOST}:{self.settings.port}",),
            ca=str(self._folder / "ca.crt"),
            cert=str(self._folder / f"{user}.crt"),
            key=str(self._folder / f"{user}.key"),
        )

    def begin(self) -> None:
        argv = [sys.executable, "-m", "serverless.broker", "--settings"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, str(self._folder / "broker.json")], cwd=ROOT, stdout=log, stderr=log
            )

    def await_answer(self) -> None:
        """Return once it answers a client."""
        admin = AdminClient(config_of(self.access()))
        ends_at = time.monotonic() + UP_S
        while time.monotonic() < ends_at:
            with suppress(KafkaException):
                admin.list_topics(timeout=LOOK_S)
                return
        raise AssertionError((self._folder / "log").read_text()[-4000:])

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
