"""Dead letters: which there are of a function, and how they are brought into their function again.

A letter that is redriven becomes a new call, whose id follows from the letter's: a client that asks
twice, or again after a crash, means the same call. A mark in the same topic tells of it for as long
as the letter is kept.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from cubernetes.api.serverless.function import Function
from cubernetes.host.env import Env
from serverless.board.key import FunctionKey
from serverless.bus.bus import Bus, BusTrouble, NoTopic
from serverless.durable.accept import Acceptor, NotAccepted
from serverless.durable.records import DEAD, DEAD_GROUP, Call, DeadLetter, id_for, read, value_of
from serverless.durable.whole import records_of
from serverless.envelope import Misread

# Of a function: the newest are told, and redriven at a time.
LETTERS_MAX = 1000
READ_S = 60.0


class Told(NamedTuple):
    """A letter; redriven: the call that it has become, empty where it has not."""

    letter: DeadLetter
    redriven: str


class Letters:
    """The dead letters of all functions."""

    def __init__(self, env: Env, bus: Bus, acceptor: Acceptor) -> None:
        self._env, self._bus, self._acceptor = env, bus, acceptor
        # The topic is read as a whole: by one at a time.
        self._turn = asyncio.Lock()

    async def of(self, key: FunctionKey) -> list[Told]:
        """Return a function's letters, the oldest first. Raises: NotAccepted."""
        async with self._turn:
            return await self._of(key)

    async def redrive(self, function: Function, call: str = "") -> list[Told]:
        """Call the function with its letters again, or with one; return those that were.

        Raises: NotAccepted: some may have been accepted, and asking again means the same ones.
        """
        key = FunctionKey(function.metadata.namespace, function.metadata.name)
        async with self._turn:
            wanted = {
                one.letter.call.id
                for one in await self._of(key)
                if not one.redriven and one.letter.is_whole and call in ("", one.letter.call.id)
            }
            done: list[Told] = []

            async def again(letter: DeadLetter, body: bytes) -> None:
                if letter.call.id in wanted and not letter.redriven:
                    wanted.discard(letter.call.id)
                    done.append(Told(letter, await self._again(function, letter, body)))

            await self._each(again)
            return done

    async def _of(self, key: FunctionKey) -> list[Told]:
        letters: deque[DeadLetter] = deque(maxlen=LETTERS_MAX)
        redriven: dict[str, str] = {}

        async def learn(letter: DeadLetter, _: bytes) -> None:
            if letter.call.function != key:
                return
            if letter.redriven:
                redriven[letter.call.id] = letter.redriven
            elif all(one.call.id != letter.call.id for one in letters):
                letters.append(letter)

        await self._each(learn)
        return [Told(one, redriven.get(one.call.id, "")) for one in letters]

    async def _each(self, work: Callable[[DeadLetter, bytes], Awaitable[None]]) -> None:
        """Do something with each record of the topic. Raises: NotAccepted."""
        try:
            async with asyncio.timeout(READ_S):
                async for record in records_of(self._bus, DEAD.name, DEAD_GROUP):
                    try:
                        letter, body = read(record, DeadLetter)
                    except Misread:
                        continue  # somebody else's
                    await work(letter, body)
        except (BusTrouble, NoTopic, TimeoutError) as error:
            told = f"the dead letters cannot be read: {error or 'no answer in time'}"
            raise NotAccepted(503, told, is_later=True) from error

    async def _again(self, function: Function, letter: DeadLetter, body: bytes) -> str:
        """Return the call that a letter has become. Raises: NotAccepted, BusTrouble, NoTopic."""
        old = letter.call
        call = replace(
            old,
            id=id_for(old.uid, "redrive", old.id),
            uid=function.metadata.uid,
            origin={**old.origin, "redriven": old.id},
            attempt=1,
            due_ms=0,
            failures=(),
            # Who asked for it by then has its end: who redrives it wants it however late it is.
            deadline_ms=0,
        )
        await self._acceptor.write(call, body)
        mark = DeadLetter(
            call=Call(id=old.id, namespace=old.namespace, name=old.name, uid=old.uid),
            error="",
            at=self._env.clock.now().isoformat(),
            redriven=call.id,
        )
        await self._bus.write(DEAD.name, old.uid.encode(), value_of(mark))
        return call.id
