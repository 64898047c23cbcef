"""A source of metrics for tests that tells the truth, or any lie: late, absent, stale or wrong."""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from cubernetes.host.clock import Clock
from cubernetes.reconcile.readings import Sample, SourceTrouble, Track

type Lie = Literal["late", "absent", "stale", "wrong", "crowded", "future", "down"]
LIES: tuple[Lie, ...] = ("late", "absent", "stale", "wrong", "crowded", "future", "down")
LATE_S = 3600.0
OFF_S = 3600.0


@dataclass
class LyingSource:
    """Answers each query with the number under its text; with a chance of `lying`, with a lie."""

    clock: Clock
    numbers: dict[str, float]
    lying: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    lies: Sequence[Lie] = LIES
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # each lie that was told
    kept: list[str] = field(default_factory=list)  # texts that were to be kept

    async def samples(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        if query not in self.numbers:
            return []
        truth = Sample(self.numbers[query], self.clock.now())
        if self.rng.random() >= self.lying:
            return [truth]
        lie = self.rng.choice(self.lies)
        self.told.append(lie)
        return await self._lied(lie, truth)

    async def _lied(self, lie: Lie, truth: Sample) -> Sequence[Sample]:
        off = timedelta(seconds=OFF_S)
        match lie:
            case "late":
                await asyncio.sleep(LATE_S)
                return [truth]
            case "absent":
                return []
            case "stale":
                return [Sample(truth.number * 10, truth.at - off)]
            case "future":
                return [Sample(truth.number * 10, truth.at + off)]
            case "wrong":
                return [Sample(self.rng.choice((math.nan, math.inf, -math.inf)), truth.at)]
            case "crowded":
                return [truth, Sample(truth.number * 10, truth.at)]
            case "down":
                raise SourceTrouble("connection refused")

    async def tracks(self, query: str) -> Sequence[Track]:
        self.asked.append(query)
        return []

    async def push(self, text: str) -> None:
        self.kept.append(text)
