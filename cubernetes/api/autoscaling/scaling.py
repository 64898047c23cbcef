"""How fast an autoscaler goes either way: windows, steps, tolerances, and their defaults."""

from collections.abc import Iterator
from decimal import Decimal

from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model, replaced, shown
from cubernetes.api.quantities import Quantity

WINDOW_S_MAX = 3600
PERIOD_S_MAX = 1800
POLICIES_MAX = 16
SELECTS = ("Max", "Min", "Disabled")


class HPAScalingPolicy(Model):
    """How far one may go within a period.

    type: Pods or Percent.
    value: so many pods, or percent of the replicas that there were.
    period_seconds: how long the period is.
    """

    type: str
    value: int
    period_seconds: int


class HPAScalingRules(Model):
    """How one direction is gone.

    stabilization_window_seconds: only what was asked for all that time is done.
    select_policy: of several policies the one that allows most (Max) or least (Min) counts;
        Disabled goes nowhere.
    policies: how far one may go.
    tolerance: how far a metric may be from its target without any change; 0.1 where nothing else
        is said.
    """

    stabilization_window_seconds: int | None = None
    select_policy: str = shown("Max")
    policies: tuple[HPAScalingPolicy, ...] = ()
    tolerance: Quantity | None = None


class HorizontalPodAutoscalerBehavior(Model):
    """How fast either direction is gone.

    scale_up: towards more replicas.
    scale_down: towards fewer.
    """

    scale_up: HPAScalingRules | None = None
    scale_down: HPAScalingRules | None = None


UP = HPAScalingRules(
    stabilization_window_seconds=0,
    policies=(
        HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
        HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
    ),
)
# Kubernetes writes no window here; what it means then is this one.
DOWN_WINDOW_S = 300
DOWN = HPAScalingRules(policies=(HPAScalingPolicy(type="Percent", value=100, period_seconds=15),))


def bounds_problems(minimum: int, maximum: int, least: int = 1) -> Iterator[Problem]:
    """Yield what is wrong with the bounds of a number of replicas."""
    if minimum < least:
        yield Problem("spec.minReplicas", f"must be greater than or equal to {least}")
    if maximum < 1:
        yield Problem("spec.maxReplicas", "must be greater than 0")
    elif maximum < minimum:
        yield Problem("spec.maxReplicas", "must be greater than or equal to `minReplicas`")


def filled(behavior: HorizontalPodAutoscalerBehavior) -> HorizontalPodAutoscalerBehavior:
    """Fill in what a behavior leaves out."""
    return HorizontalPodAutoscalerBehavior(
        scale_up=_filled(behavior.scale_up, UP), scale_down=_filled(behavior.scale_down, DOWN)
    )


def _filled(rules: HPAScalingRules | None, usual: HPAScalingRules) -> HPAScalingRules:
    if rules is None:
        return usual
    window_s = rules.stabilization_window_seconds
    if window_s is None:
        window_s = usual.stabilization_window_seconds
    return replaced(
        rules, stabilization_window_seconds=window_s, policies=rules.policies or usual.policies
    )


def behavior_problems(behavior: HorizontalPodAutoscalerBehavior, field: str) -> Iterator[Problem]:
    """Yield what is wrong with a behavior."""
    for name, rules in (("scaleUp", behavior.scale_up), ("scaleDown", behavior.scale_down)):
        if rules is not None:
            yield from _rules_problems(rules, f"{field}.{name}")


def _rules_problems(rules: HPAScalingRules, where: str) -> Iterator[Problem]:
    window_s = rules.stabilization_window_seconds
    if window_s is not None and not 0 <= window_s <= WINDOW_S_MAX:
        message = f"must be from 0 to {WINDOW_S_MAX}"
        yield Problem(f"{where}.stabilizationWindowSeconds", message)
    if rules.select_policy not in SELECTS:
        message = f"must be one of {', '.join(SELECTS)}"
        yield Problem(f"{where}.selectPolicy", message, "FieldValueNotSupported")
    if rules.tolerance is not None and rules.tolerance.amount < Decimal(0):
        yield Problem(f"{where}.tolerance", "must be greater than or equal to 0")
    if len(rules.policies) > POLICIES_MAX:
        message = f"must be at most {POLICIES_MAX}"
        yield Problem(f"{where}.policies", message, "FieldValueTooMany")
    for index, step in enumerate(rules.policies):
        yield from _step_problems(step, f"{where}.policies[{index}]")


def _step_problems(step: HPAScalingPolicy, at: str) -> Iterator[Problem]:
    if step.type not in ("Pods", "Percent"):
        yield Problem(f"{at}.type", "must be Pods or Percent", "FieldValueNotSupported")
    if not 0 < step.value < 2**31:
        yield Problem(f"{at}.value", "must be greater than 0")
    if not 0 < step.period_seconds <= PERIOD_S_MAX:
        yield Problem(f"{at}.periodSeconds", f"must be from 1 to {PERIOD_S_MAX}")
