"""What of a Job's pods decides before their number does: policies of failure and of success."""

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

import msgspec

from cubernetes.api.batch.indexes import CHARS_MAX, NotIndexes, intervals_in
from cubernetes.api.condition import Truth
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Count, Model, shown

RULES_MAX = 20
EXIT_CODES_MAX = 255

ExitCode = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class PodFailurePolicyOnExitCodesRequirement(Model):
    """Which exit codes are meant; 0 is no failure, and never is.

    container_name: of which container; left out, of any.
    operator: In: one of `values`; NotIn: none of them.
    values: the exit codes, rising.
    """

    container_name: str | None = None
    operator: Literal["In", "NotIn"]
    values: Annotated[tuple[ExitCode, ...], msgspec.Meta(max_length=EXIT_CODES_MAX)]


class PodFailurePolicyOnPodConditionsPattern(Model):
    """Which condition of a pod is meant.

    type: its type, as `DisruptionTarget`.
    status: its status.
    """

    type: str
    status: Truth = shown("True")


class PodFailurePolicyRule(Model):
    """What is done about a pod that failed in one way.

    action: FailJob fails the Job, FailIndex the pod's index, Ignore does not count the failure,
        Count counts it.
    on_exit_codes: which exit codes are meant.
    on_pod_conditions: which conditions are meant: any of these.
    """

    action: Literal["FailJob", "FailIndex", "Ignore", "Count"]
    on_exit_codes: PodFailurePolicyOnExitCodesRequirement | None = None
    on_pod_conditions: Annotated[
        tuple[PodFailurePolicyOnPodConditionsPattern, ...], msgspec.Meta(max_length=RULES_MAX)
    ] = ()


class PodFailurePolicy(Model):
    """What is done about pods that failed.

    rules: the first that a pod matches counts; a pod that matches none is counted.
    """

    rules: Annotated[tuple[PodFailurePolicyRule, ...], msgspec.Meta(max_length=RULES_MAX)]


class SuccessPolicyRule(Model):
    """Which indexes are enough.

    succeeded_indexes: of these, as `0,2-4`; left out, of any.
    succeeded_count: so many; left out, all of them.
    """

    succeeded_indexes: str | None = None
    succeeded_count: Count | None = None


class SuccessPolicy(Model):
    """When an Indexed Job is complete before each of its indexes is.

    rules: one of them is enough.
    """

    rules: Annotated[tuple[SuccessPolicyRule, ...], msgspec.Meta(max_length=RULES_MAX)]


def failure_policy_problems(
    policy: PodFailurePolicy, field: str, containers: Collection[str], *, has_index_limit: bool
) -> Iterator[Problem]:
    """Yield what is wrong with a policy; containers: the names of those in the template."""
    for index, rule in enumerate(policy.rules):
        where = f"{field}.rules[{index}]"
        if rule.action == "FailIndex" and not has_index_limit:
            yield Problem(f"{where}.action", "requires the backoffLimitPerIndex to be set")
        codes = rule.on_exit_codes
        if codes is not None and rule.on_pod_conditions:
            message = "specifying both OnExitCodes and OnPodConditions is not supported"
            yield Problem(where, message)
        elif codes is None and not rule.on_pod_conditions:
            message = "specifying one of OnExitCodes and OnPodConditions is required"
            yield Problem(where, message)
        if codes is not None:
            yield from _exit_code_problems(codes, f"{where}.onExitCodes", containers)


def _exit_code_problems(
    codes: PodFailurePolicyOnExitCodesRequirement, field: str, containers: Collection[str]
) -> Iterator[Problem]:
    if codes.container_name is not None and codes.container_name not in containers:
        message = "must be one of the container or initContainer names in the pod template"
        yield Problem(f"{field}.containerName", message)
    if not codes.values:
        yield Problem(f"{field}.values", "at least one value is required")
    if codes.operator == "In" and 0 in codes.values:
        where = f"{field}.values[{codes.values.index(0)}]"
        yield Problem(where, "must not be 0 for the In operator")
    if list(codes.values) != sorted(set(codes.values)):
        yield Problem(f"{field}.values", "must be ordered, and each value stand there once")


def success_policy_problems(
    policy: SuccessPolicy, field: str, completions: int
) -> Iterator[Problem]:
    """Yield what is wrong with the policy of an Indexed Job of so many completions."""
    if not policy.rules:
        message = "at least one rules must be specified when the successPolicy is specified"
        yield Problem(f"{field}.rules", message, "FieldValueRequired")
    for index, rule in enumerate(policy.rules):
        where = f"{field}.rules[{index}]"
        if rule.succeeded_indexes is None and rule.succeeded_count is None:
            message = "at least one of succeededCount or succeededIndexes must be specified"
            yield Problem(where, message, "FieldValueRequired")
        yield from _rule_problems(rule, where, completions)


def _rule_problems(rule: SuccessPolicyRule, field: str, completions: int) -> Iterator[Problem]:
    most, what = completions, "the number of specified completions"
    if rule.succeeded_indexes is not None:
        where = f"{field}.succeededIndexes"
        if len(rule.succeeded_indexes) > CHARS_MAX:
            yield Problem(where, f"has {len(rule.succeeded_indexes)} characters, at most 64k")
            return
        try:
            parts = list(intervals_in(rule.succeeded_indexes))
        except NotIndexes as error:
            yield Problem(where, f"error parsing succeededIndexes: {error}")
            return
        if not parts or parts[-1][1] >= completions:
            yield Problem(where, f"must be of indexes below {completions}")
            return
        most = sum(last - first + 1 for first, last in parts)
        what = "the number of indexes in the specified succeededIndexes field"
    if rule.succeeded_count is not None and not 1 <= rule.succeeded_count <= most:
        message = f"must be at least 1, and less than or equal to {most} ({what})"
        yield Problem(f"{field}.succeededCount", message)
