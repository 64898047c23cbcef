"""What goes wrong in a run, and how often: drawn once from the seed, each kind on or off.

Runs in which only some kinds of trouble happen find other bugs than runs in which all of them do
at once, so each seed first decides which it will have.
"""

import random
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances of one event each, unless a field's name says otherwise."""

    latency_s_max: float = 0.02
    lost_request: float = 0.0
    lost_reply: float = 0.0
    # For each chunk of a watch: the connection breaks, or the chunk takes lag_s_max.
    stream_cut: float = 0.0
    stream_lag: float = 0.0
    lag_s_max: float = 0.0
    store_refusal: float = 0.0
    store_doubt: float = 0.0
    # How often per minute: a program dies, the API server dies, a place is cut off.
    deaths: float = 0.0
    server_deaths: float = 0.0
    cuts: float = 0.0
    # Writes of pods go unanswered for a while, done or not, while leases are renewed.
    pod_silences: float = 0.0
    # The runtime of a node: down for a while, or an answer is lost.
    runtime_troubles: float = 0.0
    reboots: float = 0.0
    compactions: float = 0.0
    # The packet filter of a node refuses or hangs for a while; somebody empties it.
    filter_troubles: float = 0.0
    flushes: float = 0.0

    def __str__(self) -> str:
        told = [f"{one.name}={getattr(self, one.name):.3g}" for one in fields(self)]
        return " ".join(one for one in told if not one.endswith("=0"))


NO_FAULTS = Faults()


def drawn(rng: random.Random) -> Faults:
    """Return the faults of one run; about a third of the kinds are off."""

    def some(most: float) -> float:
        return rng.uniform(0, most) if rng.random() < 0.65 else 0.0

    return Faults(
        latency_s_max=rng.choice((0.005, 0.02, 0.2, 0.5)),
        lost_request=some(0.05),
        lost_reply=some(0.05),
        stream_cut=some(0.05),
        stream_lag=some(0.3),
        lag_s_max=rng.choice((0.5, 3.0, 8.0)),
        store_refusal=some(0.02),
        store_doubt=some(0.02),
        deaths=some(6.0),
        server_deaths=some(2.0),
        cuts=some(3.0),
        runtime_troubles=some(3.0),
        reboots=some(0.5),
        compactions=some(3.0),
        pod_silences=some(2.0),
        filter_troubles=some(3.0),
        flushes=some(1.0),
    )
