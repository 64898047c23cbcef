"""What becomes of calls of topics between their attempts: on virtual time, with a paper runner."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from cubernetes.api.meta import replaced
from cubernetes.api.serverless.function import Function
from cubernetes.host.clock import Clock
from cubernetes.host.env import Env
from serverless.board.key import FunctionKey
from serverless.bus.bus import Reader, Record
from serverless.bus.memory import MemoryBus, MemoryReader
from serverless.durable.accept import Acceptor
from serverless.durable.dispatch import Dispatcher
from serverless.durable.letters import Letters
from serverless.durable.records import CALLS_GROUP, Call, Result
from serverless.envelope import ResultHead
from serverless.running import Asked, Ran, Runner, Step
from tests.simulation.clock import sim_env
from tests.simulation.loop import run_simulated
from tests.unit.serverless.functionworld import a_function

UID = "6f1c0c2e-6f0e-4b55-9a3e-0d6a1a0f2b11"
CALL = Call(id="c", namespace="default", name="f", uid=UID)
FAILS = Ran(ResultHead(outcome="error", error="ValueError"), b"", 0.0)
DONE = Ran(ResultHead(outcome="ok", status=200), b"done", 0.0)


class HeldBus(MemoryBus):
    """A bus whose calls are acknowledged, and not read while is_open is not set."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.is_open = asyncio.Event()
        self.is_open.set()

    def reader(self, group: str) -> Reader:
        return HeldReader(self, group, self._clock)


class HeldReader(MemoryReader):
    _bus: HeldBus

    async def read(self) -> Sequence[Record]:
        found = await super().read()
        if self._group == CALLS_GROUP:
            await self._bus.is_open.wait()
        return found


class PaperRunner(Runner):
    """Answers each attempt with the next of `answers`."""

    def __init__(self, *answers: Ran) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []

    async def run(self, key: FunctionKey, asked: Asked, call: str) -> Ran:
        self.asked.append(asked)
        return self.answers.pop(0)


class Known:
    """Knows every function by its name."""

    def function(self, key: FunctionKey) -> Function:
        made = a_function(key.name)
        return replaced(made, metadata=replaced(made.metadata, uid=UID))

    def instance_key(self, instance: str) -> str:
        return instance

    def lost(self, instance: str, revision: str) -> None:
        raise AssertionError("nothing is asked of instances")

    def spoiled(self, instance: str, why: str) -> None:
        raise AssertionError("nothing is asked of instances")

    def why_waiting(self, key: FunctionKey) -> str:
        return str(key)


@dataclass
class Parts:
    """The parts of a program that takes calls which survive."""

    env: Env
    bus: HeldBus
    runner: PaperRunner
    dispatcher: Dispatcher
    acceptor: Acceptor

    def result(self, call: str) -> Result:
        """Return how a call has ended."""
        ended = self.dispatcher.outcomes.ended(call)
        assert ended is not None
        assert ended.head is not None
        return ended.head


def with_parts(work: Callable[[Parts], Awaitable[None]], *answers: Ran) -> None:
    """Do work with a dispatcher that runs, whose attempts are answered so."""

    async def run() -> None:
        env = sim_env("dispatch")
        bus, runner, known = HeldBus(env.clock), PaperRunner(*answers), Known()
        dispatcher = Dispatcher(env, bus, runner, known)
        running = asyncio.create_task(dispatcher.run())
        await dispatcher.is_ready.wait()
        await asyncio.sleep(5)
        await work(Parts(env, bus, runner, dispatcher, Acceptor(env, dispatcher, known)))
        running.cancel()

    run_simulated(run())


def test_a_call_that_has_rested_is_known_and_cancelled_before_it_is_read_again() -> None:
    async def work(parts: Parts) -> None:
        await parts.acceptor.write(CALL, b"")
        await asyncio.sleep(0.5)
        assert parts.acceptor.state_of("c") == "resting"
        parts.bus.is_open.clear()
        await asyncio.sleep(5)

        assert await parts.acceptor.ended("c", 0) is None
        assert parts.acceptor.state_of("c") == "accepted"
        assert await parts.acceptor.cancel("c", 0) is None
        parts.bus.is_open.set()
        await asyncio.sleep(5)

        told = parts.result("c")
        assert (told.outcome, told.attempts, len(told.failures)) == ("cancelled", 2, 1)
        assert len(parts.runner.asked) == 1
        assert parts.acceptor.state_of("c") == ""

    with_parts(work, FAILS)


def test_the_end_of_a_cancelled_call_is_told_of_where_it_was() -> None:
    """Which function had it, its attempts and their failures; not those it had begun with."""
    onward = Step(FunctionKey("default", "g"), Asked(method="POST", path="/", chain=("f",)))

    async def work(parts: Parts) -> None:
        bringing = asyncio.create_task(parts.dispatcher.bring_in_place(CALL, b""))
        await asyncio.sleep(0.5)
        parts.dispatcher.cancel("c")
        await bringing

        told = parts.result("c")
        assert (told.outcome, told.name, told.attempts) == ("cancelled", "g", 2)
        assert [one.error for one in told.failures] == ["ValueError"]

    with_parts(work, handing_on(onward), FAILS)


def handing_on(step: Step) -> Ran:
    return Ran(ResultHead(outcome="onward"), b"", 0.0, step)


def test_a_letter_is_redriven_however_long_its_deadline_has_passed() -> None:
    async def work(parts: Parts) -> None:
        late = replace(CALL, deadline_ms=1)
        await parts.dispatcher.bury(late, b"body", "it was too late")
        letters = Letters(parts.env, parts.bus, parts.acceptor)
        (told,) = await letters.redrive(Known().function(CALL.function))
        await asyncio.sleep(5)

        (asked,) = parts.runner.asked
        assert (asked.body, asked.deadline_ms) == (b"body", 0)
        assert parts.result(told.redriven).outcome == "ok"

    with_parts(work, DONE)
