"""Answers of containers that do not exist: well, unless a test says otherwise. For simulations."""

from collections import Counter
from typing import Protocol

from cubernetes.api.core.podspec.probes.actions import ExecAction
from cubernetes.host.clock import Clock
from kubelet.probes.driver import Answer, Question, Unanswered, port_number

DEADLINE_S = 10.0  # of a machine that hangs


class Machine(Protocol):
    """What of a fake machine decides how its containers answer."""

    clock: Clock
    is_down: bool
    is_hung: bool

    def is_running(self, container_id: str) -> bool: ...


class FakeAsker:
    """Asks the containers of a machine: what runs answers, what does not refuses.

    ailing: (pod name, subject of the question) -> what is told: those fail. mute: the same, and
    they answer nothing in time. asked: how often each was asked.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.ailing: dict[tuple[str, str], str] = {}
        self.mute: set[tuple[str, str]] = set()
        self.asked: Counter[tuple[str, str]] = Counter()

    async def ask(self, question: Question) -> Answer:
        key = (question.pod_name, question.subject)
        self.asked[key] += 1
        action = question.action
        if not isinstance(action, ExecAction) and port_number(action.port, question.wanted) is None:
            raise Unanswered(f"couldn't find port: {action.port}")
        if key in self.mute or self._machine.is_hung:
            await self._machine.clock.sleep(min(question.timeout_s, DEADLINE_S))
            return Answer(is_success=False, told=f"no answer within {question.timeout_s:g}s")
        await self._machine.clock.sleep(0.001)
        if isinstance(action, ExecAction) and self._machine.is_down:
            raise Unanswered("the fake runtime is down")
        if not self._machine.is_running(question.container_id):
            return Answer(is_success=False, told="connection refused")
        return Answer(key not in self.ailing, self.ailing.get(key, ""))
