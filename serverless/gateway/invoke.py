"""A direct call from its request to its answer: it runs at most once, and the caller waits.

Where a function hands its call on, the next one runs here, in memory, until one has answered.
"""

from cubernetes.host.env import Env
from cubernetes.host.web.messages import Response
from serverless.board.key import FunctionKey
from serverless.calls import NoFunction, Unloadable
from serverless.gateway.answers import answer_of, refusal, with_timing
from serverless.running import Asked, NotBegun, Runner

STATUSES = {"full": 429, "late": 504}


class Invoker:
    """Answers direct calls."""

    def __init__(self, env: Env, runner: Runner) -> None:
        self._env, self._runner = env, runner

    async def invoke(self, key: FunctionKey, asked: Asked) -> Response:
        """Return the answer to a call, whatever becomes of it."""
        call, clock = self._env.rng.uuid(), self._env.clock
        began_s, waited_s, revision = clock.monotonic(), 0.0, ""
        try:
            ran = await self._runner.run(key, asked, call)
            waited_s = ran.waited_s
            while ran.onward is not None:
                key, asked = ran.onward
                ran = await self._runner.run(key, asked, call)
                waited_s += ran.waited_s
            response = answer_of(str(key), ran.result, ran.body)
            revision = ran.revision
        except NoFunction as error:
            response = refusal(404, str(error))
        except Unloadable as error:
            response = refusal(502, f"function {key} cannot be loaded:\n{error}")
        except NotBegun as error:
            response = refusal(STATUSES[error.outcome], str(error), is_later=True)
        total_ms = (clock.monotonic() - began_s) * 1000
        wait_ms = waited_s * 1000
        return with_timing(response, call, revision, wait_ms, total_ms - wait_ms)
