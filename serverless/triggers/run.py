"""Follows what triggers name, and calls: each record and each time ends as a call's result does.

An offset is committed when its record's call has its result, its next attempt or its dead letter in
the broker; a time of a schedule is over when the broker has acknowledged its call.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from weakref import WeakValueDictionary

from cubernetes.api.condition import Condition, with_condition
from cubernetes.api.meta import replaced
from cubernetes.api.serverless.function import Function
from cubernetes.api.serverless.trigger import ACCEPTED, KafkaSource, Trigger, TriggerStatus
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from cubernetes.host.supervise import supervised
from serverless.board.key import FunctionKey
from serverless.bus.bus import Bus, BusTrouble, NoTopic, Record
from serverless.durable.consuming import Consuming
from serverless.durable.dispatch import Dispatcher
from serverless.durable.records import BODY_BYTES_MAX, PREFIX
from serverless.running import Functions
from serverless.triggers.plan import call_of, cron_call, due_at, schedule_in, takes

log = Log(__name__)

LOOK_S = 0.5


class Following:
    """One trigger's topic, read for as long as the trigger is what it was."""

    def __init__(
        self, env: Env, bus: Bus, dispatcher: Dispatcher, trigger: Trigger, function: Function
    ) -> None:
        self.trigger, self.function = trigger, function
        self._dispatcher = dispatcher
        meta = trigger.metadata
        group = f"{PREFIX}trigger.{meta.namespace}.{meta.name}.{meta.uid[:8]}"
        self.consuming = Consuming(bus, group, self._take, env.clock)
        # One record of a key at a time, where the trigger asks for order.
        self._keys: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._task = asyncio.create_task(supervised(group, self.consuming.run, env))

    def want(self, source: KafkaSource) -> None:
        self.consuming.want({source.topic: source.start})

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _take(self, record: Record) -> None:
        trigger = self.trigger
        if not takes(record, trigger.spec.filter):
            return
        call = call_of(record, trigger, self.function.metadata.uid)
        if len(record.value) > BODY_BYTES_MAX:
            told = f"the record has {len(record.value)} bytes, at most {BODY_BYTES_MAX}"
            await self._dispatcher.refuse(call, told)
        elif trigger.spec.order == "key":
            lock = self._keys.setdefault(record.key, asyncio.Lock())
            async with lock:
                await self._dispatcher.bring_in_place(call, record.value)
        else:
            await self._dispatcher.bring(call, record.value)


class Triggers:
    """All triggers. known returns those of now; write writes a status."""

    def __init__(
        self,
        env: Env,
        bus: Bus | None,
        dispatcher: Dispatcher | None,
        functions: Functions,
        known: Callable[[], Sequence[Trigger]],
        write: Callable[[Trigger], None],
    ) -> None:
        self._env, self._bus, self._dispatcher = env, bus, dispatcher
        self._functions, self._known, self._write = functions, known, write
        self._following: dict[str, Following] = {}
        # The last time that was called for, by the trigger's uid, until its status shows it.
        self._fired: dict[str, datetime] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        if self._dispatcher is not None:
            await self._dispatcher.is_ready.wait()
        try:
            while True:
                await self._turn()
                await self._env.clock.sleep(LOOK_S)
        finally:
            await asyncio.gather(*(one.end() for one in self._following.values()))
            self._following.clear()

    async def _turn(self) -> None:
        triggers = {one.metadata.uid: one for one in self._known() if not one.metadata.is_deleted}
        self._fired = {uid: at for uid, at in self._fired.items() if uid in triggers}
        for uid in [uid for uid, one in self._following.items() if self._is_over(one, triggers)]:
            await self._following.pop(uid).end()
        for trigger in triggers.values():
            verdict = await self._looked_after(trigger)
            self._tell(trigger, verdict)

    def _is_over(self, one: Following, triggers: Mapping[str, Trigger]) -> bool:
        """Whether a trigger is read no longer, or otherwise than before."""
        now = triggers.get(one.trigger.metadata.uid)
        if now is None or now.spec != one.trigger.spec:
            return True
        function = self._function_of(now)
        return function is None or function.metadata.uid != one.function.metadata.uid

    def _function_of(self, trigger: Trigger) -> Function | None:
        key = FunctionKey(trigger.metadata.namespace, trigger.spec.function)
        return self._functions.function(key)

    async def _looked_after(self, trigger: Trigger) -> Condition:
        """Do what is to be done for a trigger now; return what is to be told of it."""
        function, spec = self._function_of(trigger), trigger.spec
        if self._dispatcher is None or self._bus is None:
            return _refused("NoBroker", "there is no broker: cuberoot enable serverless makes one")
        if function is None:
            told = f"there is no Function {spec.function} in the namespace"
            return _refused("NoFunction", told)
        if spec.paused:
            return _refused("Paused", "spec.paused")
        if spec.kafka is not None:
            uid = trigger.metadata.uid
            one = self._following.get(uid)
            if one is None:
                one = Following(self._env, self._bus, self._dispatcher, trigger, function)
                self._following[uid] = one
                one.want(spec.kafka)
            if not one.consuming.is_following:
                return _refused("NoTopic", f"topic {spec.kafka.topic} is not followed yet")
        else:
            await self._fire(trigger, function, self._dispatcher)
        return Condition(type=ACCEPTED, status="True", reason="Accepted")

    async def _fire(self, trigger: Trigger, function: Function, dispatcher: Dispatcher) -> None:
        cron = trigger.spec.cron
        due = due_at(cron, self._last(trigger), self._env.clock.now()) if cron else None
        if due is None:
            return
        call = cron_call(trigger, function.metadata.uid, due)
        try:
            await dispatcher.write_call(call, b"")
        except (BusTrouble, NoTopic) as error:
            # The next look finds the time due again, and the call has the same id.
            log.warning("a time has come and no broker", trigger=trigger.ref, why=error)
            return
        self._fired[trigger.metadata.uid] = due

    def _last(self, trigger: Trigger) -> datetime:
        """Return the time up to which the schedule has been called for."""
        meta, now = trigger.metadata, self._env.clock.now()
        shown = trigger.status.last_fired or meta.creation_timestamp or now
        return max(shown, self._fired.get(meta.uid, shown))

    def _tell(self, trigger: Trigger, verdict: Condition) -> None:
        """Write the status where it differs from what is shown."""
        now, cron, status = self._env.clock.now(), trigger.spec.cron, trigger.status
        last = self._fired.get(trigger.metadata.uid, status.last_fired)
        is_fired = cron is not None and not trigger.spec.paused
        told = TriggerStatus(
            last_fired=last,
            next_fire=schedule_in(cron).next_after(now) if cron and is_fired else None,
            conditions=with_condition(status.conditions, verdict, now),
        )
        if told != status:
            self._write(replaced(trigger, status=told))


def _refused(reason: str, message: str) -> Condition:
    return Condition(type=ACCEPTED, status="False", reason=reason, message=message)
