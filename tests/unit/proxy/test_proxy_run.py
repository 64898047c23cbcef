"""The proxy's loop on a packet filter of paper: when it writes, when it waits, when it repairs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from cubernetes.api.meta import Object
from cubernetes.client.connect import ClientSettings
from cubernetes.client.outcome import Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.web.messages import Request, Response
from proxy.run import run
from proxy.settings import ProxySettings
from tests.counted import counted
from tests.given import a_service, a_slice
from tests.papernet import PaperNet
from tests.scripted import line, listed

SETTINGS = ProxySettings(
    client=ClientSettings(servers=("https://127.0.0.1:1",), ca="/none"),
    iptables="nft",
    apply_interval_s=0.005,
    check_interval_s=0.05,
)
WEB, PODS = a_service("web"), a_slice("web-1", service="web", addresses=["10.244.1.2"])


class TinyApi:
    """Lists and watches of two kinds; `hidden` ones cannot be reached yet."""

    def __init__(self, *objects: Object) -> None:
        self.requests: list[Request] = []
        self.hidden: set[str] = set()
        self.objects: dict[str, list[Object]] = {
            "services": [WEB, *objects],
            "endpointslices": [PODS],
        }
        self._watches: dict[str, asyncio.Queue[bytes]] = {
            plural: asyncio.Queue() for plural in self.objects
        }

    def is_read(self) -> bool:
        """Everything that was told has been taken."""
        return all(queue.empty() for queue in self._watches.values())

    def tell(self, verdict: str, one: Object) -> None:
        self._watches[one.resource.plural].put_nowait(line(verdict, one))

    async def send(self, request: Request, *, deadline_s: float) -> Response:
        plural = self._plural(request)
        return listed(self.objects[plural], 10)

    async def open(self, request: Request, *, deadline_s: float) -> Response:
        return Response(200, self._lines(self._plural(request)))

    async def close(self) -> None:
        """Nothing is open."""

    def _plural(self, request: Request) -> str:
        self.requests.append(request)
        plural = request.path.rpartition("/")[2]
        if plural in self.hidden:
            raise Unreachable(plural)
        return plural

    async def _lines(self, plural: str) -> AsyncGenerator[bytes]:
        while True:
            yield await self._watches[plural].get()


@asynccontextmanager
async def proxy_on(
    net: PaperNet, api: TinyApi, settings: ProxySettings = SETTINGS
) -> AsyncIterator[Env]:
    env = Env(commands=net)
    task = asyncio.create_task(run(settings, env, Client(api, env)))
    try:
        yield env
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110  the paper has no events to wait for
            await asyncio.sleep(0.002)


def addresses_in(net: PaperNet) -> set[str]:
    rules = [rule for chain in net.tables["nat"].values() for rule in chain]
    return {rule.split()[-1] for rule in rules if "DNAT" in rule}


async def test_rules_follow_services_and_endpoints() -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api):
        await until(lambda: addresses_in(net) == {"10.244.1.2:8080"})
        moved = a_slice("web-1", service="web", addresses=["10.244.2.2", "10.244.2.3"], revision=11)
        api.tell("MODIFIED", moved)
        await until(lambda: addresses_in(net) == {"10.244.2.2:8080", "10.244.2.3:8080"})
        api.tell("DELETED", a_slice("web-1", service="web", revision=12))
        await until(lambda: addresses_in(net) == set())


async def test_turns_are_counted_by_what_became_of_the_rules() -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api) as env:
        await until(lambda: turns(env, "unchanged") > 0)
        told = counted(env.metrics)
        assert told['cube_proxy_turns_total{outcome="written"}'] == 1
        assert told['cube_proxy_turns_total{outcome="failed"}'] == 0
        ours = [name for table in net.tables.values() for name in table if "CUBE-" in name]
        assert told["cube_proxy_chains"] == len(ours)
        assert told["cube_proxy_skipped"] == 0
        net.failures += [CommandFailed(["iptables"], 4, "somebody holds the lock")]
        await until(lambda: turns(env, "failed") == 1)


def turns(env: Env, outcome: str) -> float:
    return counted(env.metrics)[f'cube_proxy_turns_total{{outcome="{outcome}"}}']


async def test_w27_the_proxy_only_reads() -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))

    assert {request.method for request in api.requests} == {"GET"}


@pytest.mark.parametrize("missing", ["services", "endpointslices"])
async def test_w25_the_kernels_rules_are_left_alone_until_both_kinds_are_known(
    missing: str,
) -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))
    before, written = net.save(), len(net.restored)
    api.hidden.add(missing)

    async with proxy_on(net, api):
        await until(lambda: sum(missing in one.path for one in api.requests) > 3)
        assert net.save() == before
        api.hidden.clear()
        await until(lambda: ("iptables-nft-save",) in net.ran[-2:])

    assert net.save() == before
    assert len(net.restored) == written


async def test_a_stopped_proxy_leaves_its_rules_serving() -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))

    assert addresses_in(net) == {"10.244.1.2:8080"}


async def test_a_foreign_flush_is_repaired_without_a_change() -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))
        net.tables["nat"]["PREROUTING"].clear()
        await until(lambda: net.tables["nat"]["PREROUTING"] == ["-j CUBE-SERVICES"])


async def test_a_failing_iptables_is_tried_again_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    net, api = PaperNet(), TinyApi()
    net.failures += [CommandFailed(["iptables"], 4, "somebody holds the lock")] * 2
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))

    assert caplog.text.count("service rules not applied") == 1


async def test_w3_a_bad_service_is_told_once_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    net, api = PaperNet(), TinyApi(a_service("bad", cluster_ip="8.8.8.8"))
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))
        api.tell("MODIFIED", a_slice("web-1", service="web", addresses=["10.244.2.2"], revision=11))
        await until(lambda: addresses_in(net) == {"10.244.2.2:8080"})

    assert caplog.text.count("left out of the service rules") == 1


async def test_changes_that_come_together_are_written_together() -> None:
    net, api = PaperNet(), TinyApi()
    async with proxy_on(net, api):
        await until(lambda: bool(addresses_in(net)))
        written = len(net.restored)
        for revision in range(11, 61):
            address = f"10.244.2.{revision}"
            api.tell(
                "MODIFIED", a_slice("web-1", service="web", addresses=[address], revision=revision)
            )
        await until(lambda: addresses_in(net) == {"10.244.2.60:8080"})

    assert len(net.restored) - written <= 5


async def test_a_change_that_comes_while_rules_are_applied_is_applied_next() -> None:
    net, api = PaperNet(), TinyApi()
    # Neither a check nor another change comes to the aid of one that was overlooked.
    async with proxy_on(net, api, replace(SETTINGS, check_interval_s=1000.0)) as env:
        await until(lambda: bool(addresses_in(net)))
        net.may_end.clear()
        first = a_slice("web-1", service="web", addresses=["10.244.2.2"], revision=11)
        api.tell("MODIFIED", first)
        await until(lambda: addresses_in(net) == {"10.244.2.2:8080"})
        told = turns(env, "written")
        second = a_slice("web-1", service="web", addresses=["10.244.2.3"], revision=12)
        api.tell("MODIFIED", second)
        await until(api.is_read)
        assert turns(env, "written") == told
        net.may_end.set()
        await until(lambda: addresses_in(net) == {"10.244.2.3:8080"})


def with_checkpoint(folder: Path) -> ProxySettings:
    checkpoint = str(folder / "checkpoint")
    return replace(SETTINGS, checkpoint=checkpoint, checkpoint_after_s=0.05)


async def test_a_kernel_that_was_started_anew_is_given_the_rules_of_before(tmp_path: Path) -> None:
    settings, api = with_checkpoint(tmp_path), TinyApi()
    async with proxy_on(PaperNet(), api, settings):
        await until(lambda: (tmp_path / "checkpoint").exists())
    api.hidden |= {"services", "endpointslices"}
    anew = PaperNet()

    async with proxy_on(anew, api, settings):
        await until(lambda: addresses_in(anew) == {"10.244.1.2:8080"})


async def test_an_older_checkpoint_does_not_replace_what_the_kernel_holds(tmp_path: Path) -> None:
    net, api = PaperNet(), TinyApi()
    # Checks never come, so the file stays at the rules of the beginning.
    settings = replace(with_checkpoint(tmp_path), check_interval_s=1000.0)
    async with proxy_on(net, api, settings):
        await until(lambda: bool(addresses_in(net)))
        api.tell("MODIFIED", a_slice("web-1", service="web", addresses=["10.244.2.2"], revision=11))
        await until(lambda: addresses_in(net) == {"10.244.2.2:8080"})
    api.hidden |= {"services", "endpointslices"}
    net.ran.clear()

    async with proxy_on(net, api, settings):
        await until(lambda: ("iptables-nft-save",) in net.ran)
        await asyncio.sleep(0)

    assert addresses_in(net) == {"10.244.2.2:8080"}
    assert net.ran == [("iptables-nft-save",)]


async def test_a_disk_that_takes_nothing_stops_no_service_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net, api, settings = PaperNet(), TinyApi(), with_checkpoint(tmp_path)
    # A folder in the way fails like a full disk: with an OSError, at any user's hands.
    in_the_way = tmp_path / ".checkpoint.new"
    in_the_way.mkdir()
    async with proxy_on(net, api, settings):
        await until(lambda: "rules checkpoint not saved" in caplog.text)
        api.tell("MODIFIED", a_slice("web-1", service="web", addresses=["10.244.2.2"], revision=11))
        await until(lambda: addresses_in(net) == {"10.244.2.2:8080"})
        reads = net.ran.count(("iptables-nft-save",))
        await until(lambda: net.ran.count(("iptables-nft-save",)) > reads + 2)
        assert caplog.text.count("rules checkpoint not saved") == 1
        in_the_way.rmdir()
        await until((tmp_path / "checkpoint").exists)
