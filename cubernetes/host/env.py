"""The environment that a program receives: every effect that a simulation must control."""

from dataclasses import dataclass, field

from cubernetes.host.blocking import Blocking, Threads
from cubernetes.host.clock import Clock, SystemClock
from cubernetes.host.command import Commands, SystemCommands
from cubernetes.host.metrics import Metrics
from cubernetes.host.random import Rng, SystemRng


@dataclass(frozen=True)
class Env:
    """What a program needs of its machine: `Env()` is this one; a simulation passes its own."""

    clock: Clock = field(default_factory=SystemClock)
    rng: Rng = field(default_factory=SystemRng)
    commands: Commands = field(default_factory=SystemCommands)
    metrics: Metrics = field(default_factory=Metrics)
    blocking: Blocking = field(default_factory=Threads)
