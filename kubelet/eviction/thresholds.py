"""At what a node evicts: an administrator's file, in the words of Kubernetes' kubelet. Pure.

`/etc/cubernetes/eviction.json` has fields of a KubeletConfiguration, none of them required:

    {"evictionHard": {"memory.available": "200Mi", "nodefs.available": "15%"},
     "evictionSoft": {"memory.available": "500Mi"},
     "evictionSoftGracePeriod": {"memory.available": "1m30s"},
     "evictionMinimumReclaim": {"nodefs.available": "1Gi"},
     "evictionPressureTransitionPeriod": "5m",
     "evictionMaxPodGracePeriod": 60}

As there, `evictionHard` takes the place of all defaults, and 0 or 0% never evicts.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from cubernetes.api.quantities import Quantity, QuantityInvalid
from cubernetes.client.wire.spans import NoSpan, span_s
from kubelet.eviction.room import ORDER, SIGNALS, Share

# Kubernetes' own, and a tenth of the process ids, for which it has none.
DEFAULT_HARD: Mapping[str, str] = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "pid.available": "10%",
}
AMOUNT_RULE = "must be a quantity such as 100Mi, or a percentage from 0% to 100%"


class ThresholdsInvalid(Exception):
    """The text names the field, and the accepted form."""


class Amount(NamedTuple):
    """A number, or a share of all there is."""

    whole: int = 0
    percent: float = 0.0

    def of(self, total: int) -> int:
        return self.whole + int(total * self.percent / 100)


class Threshold(NamedTuple):
    """A signal is short below an amount; it is acted on once it has been for grace_s.

    reclaim: how much more there must be for it to be over. is_hard: pods get no grace of theirs.
    """

    signal: str
    amount: Amount
    is_hard: bool = True
    grace_s: float = 0.0
    reclaim: Amount = Amount()

    def is_met(self, share: Share, *, is_lasting: bool = False) -> bool:
        """Whether so little is left; is_lasting: it was met before, and is until enough came back.

        As in Kubernetes, what equals the threshold is not below it.
        """
        wanted = self.amount.of(share.total)
        if is_lasting:
            wanted += self.reclaim.of(share.total)
        return share.free < wanted


class Thresholds(NamedTuple):
    """All of a node. grace_max_s: of pods that a soft threshold ends."""

    each: tuple[Threshold, ...]
    transition_s: float = 300.0
    grace_max_s: float = 0.0

    @property
    def margins(self) -> Mapping[str, Amount]:
        """What is kept free at once, by signal: pods are not placed on it."""
        return {one.signal: one.amount for one in self.each if one.is_hard}


class _Words(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    eviction_hard: dict[str, str] = msgspec.field(default_factory=lambda: dict(DEFAULT_HARD))
    eviction_soft: dict[str, str] = msgspec.field(default_factory=dict)
    eviction_soft_grace_period: dict[str, str] = msgspec.field(default_factory=dict)
    eviction_minimum_reclaim: dict[str, str] = msgspec.field(default_factory=dict)
    eviction_pressure_transition_period: str = "5m"
    eviction_max_pod_grace_period: int = 0


def thresholds_of(text: bytes | None) -> Thresholds:
    """Read an administrator's file; None: there is none.

    Raises: ThresholdsInvalid.
    """
    try:
        words = msgspec.json.decode(text or b"{}", type=_Words)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ThresholdsInvalid(str(error)) from error
    each = tuple(sorted(_thresholds(words), key=lambda one: (ORDER.index(one.signal), one.is_hard)))
    if words.eviction_max_pod_grace_period < 0:
        raise ThresholdsInvalid("evictionMaxPodGracePeriod: must not be negative")
    transition = words.eviction_pressure_transition_period
    return Thresholds(
        each,
        _span("evictionPressureTransitionPeriod", transition),
        float(words.eviction_max_pod_grace_period),
    )


def _thresholds(words: _Words) -> Iterator[Threshold]:
    reclaims = dict(_amounts("evictionMinimumReclaim", words.eviction_minimum_reclaim))
    for name, amount in _amounts("evictionHard", words.eviction_hard):
        if amount != Amount():
            yield Threshold(name, amount, reclaim=reclaims.get(name, Amount()))
    graces = words.eviction_soft_grace_period
    for name in sorted(graces.keys() - words.eviction_soft.keys()):
        raise ThresholdsInvalid(f"evictionSoftGracePeriod.{name}: evictionSoft does not name it")
    for name, amount in _amounts("evictionSoft", words.eviction_soft):
        if name not in graces:
            raise ThresholdsInvalid(f"evictionSoft.{name}: needs an evictionSoftGracePeriod")
        grace_s = _span(f"evictionSoftGracePeriod.{name}", graces[name])
        yield Threshold(name, amount, False, grace_s, reclaims.get(name, Amount()))


def _amounts(field: str, written: Mapping[str, str]) -> Iterator[tuple[str, Amount]]:
    for name, text in written.items():
        if name not in SIGNALS:
            known = ", ".join(SIGNALS)
            raise ThresholdsInvalid(f"{field}.{name[:63]}: must be one of {known}")
        yield name, _amount(f"{field}.{name}", text)


def _amount(field: str, text: str) -> Amount:
    number, sign, rest = text.partition("%")
    try:
        if sign and not rest:
            share = float(number)
            if 0 <= share <= 100:
                return Amount(percent=share)
        else:
            count = Quantity(text)
            if count.amount >= 0:
                return Amount(count.whole)
    except (ValueError, QuantityInvalid):
        pass
    raise ThresholdsInvalid(f"{field}: {AMOUNT_RULE}")


def _span(field: str, text: str) -> float:
    try:
        return span_s(text)
    except NoSpan as error:
        raise ThresholdsInvalid(f"{field}: {error}") from error
