"""What the kubelet knows of other kinds while the API server does not answer."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from cubernetes.api.core.configmap import ConfigMap
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.references import Named
from cubernetes.api.core.service import Service
from cubernetes.api.errors import (
    Forbidden,
    InternalError,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
)
from cubernetes.api.meta import ObjectMeta
from cubernetes.client.outcome import Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from kubelet.checkpoint import Checkpoint
from kubelet.objects.reader import READ_DEADLINE_S, READS_MAX, Reader
from kubelet.objects.view import PodObjects
from kubelet.runtime.driver import RuntimeTrouble
from tests.given import a_pod
from tests.simulation.loop import run_simulated

SHOP = Named("ConfigMap", "shop")


class Answers:
    """A client whose reads end as a test says."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def get(self, kind: type[ConfigMap], name: str, namespace: str) -> ConfigMap:
        if self.error is not None:
            raise self.error
        return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data={"a": "b"})


class Disk:
    """A checkpoint that remembers what was saved, and whether."""

    def __init__(self) -> None:
        self.saved = asyncio.Event()
        self.services: Sequence[Service] = ()

    def save_services(self, services: Sequence[Service]) -> None:
        self.services = services
        self.saved.set()


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("nobody is there"),
        ServiceUnavailable("not yet"),
        Timeout("the cache is at revision 5, not yet at 9"),
        InternalError("a bug"),
        TooManyRequests("later"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_was_read_counts_while_no_answer_says_otherwise(error: Exception) -> None:
    answers = Answers()
    reader = Reader(cast(Client, answers))
    known = await reader.read("default", {SHOP})

    answers.error = error

    assert await reader.read("default", {SHOP}) == known
    with pytest.raises(RuntimeTrouble):
        await reader.read("elsewhere", {SHOP})


class Silence(Answers):
    """A client whose reads never end. It counts those that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting_count = self.most_count = 0

    async def get(self, kind: type[ConfigMap], name: str, namespace: str) -> ConfigMap:
        self.waiting_count += 1
        self.most_count = max(self.most_count, self.waiting_count)
        try:
            await asyncio.Event().wait()
            return await super().get(kind, name, namespace)
        finally:
            self.waiting_count -= 1


def test_what_a_container_names_is_read_side_by_side_under_one_deadline() -> None:
    """Cut off, it waits ten seconds in all, and leaves no read behind."""

    async def main() -> None:
        client = Silence()
        reader = Reader(cast(Client, client))
        names = {Named("Secret", f"s{number}") for number in range(20)}
        begun_s = asyncio.get_running_loop().time()

        with pytest.raises(RuntimeTrouble, match='secret "s0" not read: no answer within 10 s'):
            await reader.read("default", names)

        assert asyncio.get_running_loop().time() - begun_s == pytest.approx(READ_DEADLINE_S)
        assert (client.most_count, client.waiting_count) == (READS_MAX, 0)

    run_simulated(main())


def test_what_cannot_be_read_is_told_in_the_order_of_names() -> None:
    async def main() -> None:
        answers = Answers()
        answers.error = Unreachable("nobody is there")
        names = {Named("Secret", name) for name in ("b", "a", "c")}
        with pytest.raises(RuntimeTrouble, match='secret "a" not read'):
            await Reader(cast(Client, answers)).read("default", names)

    run_simulated(main())


async def test_an_answer_about_the_object_itself_counts() -> None:
    answers = Answers()
    reader = Reader(cast(Client, answers))
    await reader.read("default", {SHOP})

    answers.error = Forbidden("no pod of this node names it")
    with pytest.raises(RuntimeTrouble):
        await reader.read("default", {SHOP})
    answers.error = NotFound("there is no such ConfigMap")
    assert await reader.read("default", {SHOP}) == {}


async def test_kept_services_are_not_replaced_before_the_pods_are_known() -> None:
    disk = Disk()
    objects = PodObjects(cast(Client, None), Env(), cast(Checkpoint, disk))
    objects.services.synced.set()
    saving = asyncio.create_task(objects.keep_saved())
    changed: Any = objects.services
    for told in changed._callbacks:
        told(None, None)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not disk.saved.is_set()

    pods: list[Pod] = [a_pod("web-0")]
    objects.want(pods)
    async with asyncio.timeout(60):
        await disk.saved.wait()
    saving.cancel()
