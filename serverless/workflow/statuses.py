"""What is told of workflows: whether runs can begin, which functions are not there, what runs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from cubernetes.api.condition import Condition, with_condition
from cubernetes.api.meta import replaced
from cubernetes.api.serverless.workflow import ACCEPTED, Workflow, WorkflowStatus
from cubernetes.host.env import Env
from serverless.board.key import FunctionKey
from serverless.running import Functions
from serverless.workflow.engine import Engine

LOOK_S = 0.5


class Statuses:
    """Writes the statuses of workflows. known: those of now."""

    def __init__(
        self,
        env: Env,
        engine: Engine | None,
        functions: Functions,
        known: Callable[[], Sequence[Workflow]],
        write: Callable[[Workflow], None],
    ) -> None:
        self._env, self._engine, self._functions = env, engine, functions
        self._known, self._write = known, write

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            running: Mapping[str, int] = {}
            if self._engine is not None:
                running = Counter(run.started.uid for run in self._engine.open_runs())
            for one in self._known():
                told = WorkflowStatus(
                    running=running.get(one.metadata.uid, 0),
                    conditions=with_condition(
                        one.status.conditions, self._verdict(one), self._env.clock.now()
                    ),
                )
                if told != one.status:
                    self._write(replaced(one, status=told))
            await self._env.clock.sleep(LOOK_S)

    def _verdict(self, one: Workflow) -> Condition:
        namespace = one.metadata.namespace
        if self._engine is None:
            told = "there is no broker: cuberoot enable serverless makes one"
            return Condition(type=ACCEPTED, status="False", reason="NoBroker", message=told)
        wanted = sorted({step.call for step in one.spec.steps.values() if step.call})
        missing = [
            name
            for name in wanted
            if self._functions.function(FunctionKey(namespace, name)) is None
        ]
        if missing:
            told = f"there is no Function {', '.join(missing)} in the namespace"
            return Condition(type=ACCEPTED, status="False", reason="NoFunction", message=told)
        return Condition(type=ACCEPTED, status="True", reason="Accepted")
