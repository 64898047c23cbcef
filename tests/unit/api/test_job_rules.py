"""Jobs: what is filled in, what is refused and by which words, and what `get` prints."""

from datetime import timedelta

import pytest

from apiserver.strategies.jobs.job import Jobs
from cubernetes.api.batch.cronjob import CronJob
from cubernetes.api.batch.indexes import NotIndexes, indexes_in, intervals_in, text_of
from cubernetes.api.batch.job import Job, JobStatus
from cubernetes.api.coding import codec
from cubernetes.api.meta import replaced
from cubernetes.api.notation.jsontext import Tree
from tests.given import NOW, a_condition, a_job

BARE: Tree = {
    "metadata": {"name": "work", "namespace": "default", "uid": "u1"},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]},
        }
    },
}


def made(**spec: object) -> Job:
    tree = {**BARE, "spec": {**BARE["spec"], **spec}}
    return Jobs().prepared(codec.from_tree(Job, tree).model.defaulted())


def wrong(one: Job) -> list[tuple[str, str]]:
    return [(problem.field, problem.message) for problem in one.problems()]


def test_the_server_makes_the_selector_and_the_labels_it_chooses_by() -> None:
    one = made()

    assert one.spec.selector is not None
    assert one.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": "u1"}
    assert one.spec.template.metadata.labels == {
        "app": "a",
        "batch.kubernetes.io/controller-uid": "u1",
        "batch.kubernetes.io/job-name": "work",
        "controller-uid": "u1",
        "job-name": "work",
    }
    assert one.metadata.labels == {"app": "a"}
    assert wrong(one) == []


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, (1, 1)),
        ({"parallelism": 3}, (None, 3)),
        ({"completions": 3}, (3, 1)),
        ({"completions": 3, "parallelism": 0}, (3, 0)),
    ],
)
def test_one_pod_and_one_success_are_wanted_where_nothing_is_said(
    spec: Tree, wanted: tuple[int | None, int]
) -> None:
    one = made(**spec)

    assert (one.spec.completions, one.spec.parallelism) == wanted
    assert one.spec.backoff_limit == 6
    assert one.spec.pod_replacement_policy == "TerminatingOrFailed"


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"completionMode": "Indexed", "parallelism": 2},
            "spec.completions",
            "when completion mode",
        ),
        (
            {"completionMode": "Indexed", "completions": 1, "parallelism": 100_001},
            "spec.parallelism",
            "must be less than or equal to 100000 when completion mode is Indexed",
        ),
        ({"selector": {"matchLabels": {"app": "a"}}}, "spec.selector", "`selector` not auto"),
        ({"manualSelector": True}, "spec.selector", "is required"),
        (
            {"manualSelector": True, "selector": {"matchLabels": {"app": "other"}}},
            "spec.template.metadata.labels",
            "`selector` does not match template `labels`",
        ),
        (
            {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}},
            "spec.template.spec.restartPolicy",
            'valid values: "OnFailure", "Never"',
        ),
    ],
)
def test_what_kubernetes_refuses_is_refused_in_its_words(
    spec: Tree, field: str, message: str
) -> None:
    (found,) = wrong(made(**spec))

    assert found[0] == field
    assert message in found[1]


INDEXED = {"completionMode": "Indexed", "completions": 3}
CODES = {"operator": "In", "values": [1]}


def failure(**rule: object) -> Tree:
    return {"podFailurePolicy": {"rules": [{"action": "FailJob", **rule}]}}


def success(**rule: object) -> Tree:
    return {**INDEXED, "successPolicy": {"rules": [rule]}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"backoffLimitPerIndex": 1}, "requires indexed completion mode"),
        ({**INDEXED, "maxFailedIndexes": 1}, "when maxFailedIndexes is specified"),
        (
            {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
            "must be less than or equal to completions",
        ),
        ({"successPolicy": {"rules": [{"succeededCount": 1}]}}, "requires indexed completion mode"),
        ({**INDEXED, "successPolicy": {"rules": []}}, "at least one rules must be specified"),
        (success(), "at least one of succeededCount or succeededIndexes must be specified"),
        (success(succeededIndexes="2-1"), "error parsing succeededIndexes"),
        (success(succeededIndexes="1,3"), "must be of indexes below 3"),
        (success(succeededIndexes="0,1", succeededCount=3), "less than or equal to 2 (the number"),
        (success(succeededCount=4), "(the number of specified completions)"),
        (failure(), "specifying one of OnExitCodes and OnPodConditions is required"),
        (
            failure(onExitCodes=CODES, onPodConditions=[{"type": "A"}]),
            "specifying both OnExitCodes and OnPodConditions is not supported",
        ),
        (failure(onExitCodes={**CODES, "values": [0, 1]}), "must not be 0 for the In operator"),
        (failure(onExitCodes={**CODES, "values": [2, 1]}), "must be ordered"),
        (failure(onExitCodes={**CODES, "values": []}), "at least one value is required"),
        (failure(onExitCodes={**CODES, "containerName": "x"}), "must be one of the container or"),
        (
            failure(onExitCodes=CODES, action="FailIndex"),
            "requires the backoffLimitPerIndex to be set",
        ),
        (
            {**failure(onExitCodes=CODES), "podReplacementPolicy": "TerminatingOrFailed"},
            "only Failed is supported when podFailurePolicy is specified",
        ),
        ({"managedBy": "acme.io"}, "must be a domain-prefixed path (such as 'acme.io/foo')"),
        ({"managedBy": "Acme.io/foo"}, "must be a domain-prefixed path"),
        ({"managedBy": "acme.io/"}, "must be a domain-prefixed path"),
        ({"managedBy": "acme.io/" + "a" * 56}, "may not be more than 63 bytes"),
    ],
)
def test_policies_that_kubernetes_refuses_are_refused_in_its_words(
    spec: Tree, message: str
) -> None:
    assert [message in said for _, said in wrong(made(**spec))] == [True]


def test_a_policy_may_name_an_init_container() -> None:
    template = BARE["spec"]["template"]
    pod = {**template["spec"], "initContainers": [{"name": "x", "image": "b"}]}
    named = failure(onExitCodes={**CODES, "containerName": "x"})

    assert wrong(made(**named, template={**template, "spec": pod})) == []


def test_who_sees_to_a_job_never_changes() -> None:
    old = made(managedBy="acme.io/" + "a" * 55)
    new = replaced(old, spec=replaced(old.spec, managed_by=None))

    assert wrong(old) == []
    assert [problem.field for problem in new.update_problems(old)] == ["spec.managedBy"]


def test_failures_by_index_are_not_limited_together_and_a_policy_waits_for_the_end() -> None:
    one = made(**INDEXED, backoffLimitPerIndex=1, **failure(onExitCodes=CODES))

    assert wrong(one) == []
    assert one.spec.backoff_limit == 2**31 - 1
    assert one.spec.pod_replacement_policy == "Failed"


def test_an_index_that_makes_a_name_too_long_is_refused() -> None:
    one = a_job("a" * 62, completions=10, completion_mode="Indexed")

    assert "metadata.name" in [field for field, _ in wrong(one)]


def test_what_pods_are_made_of_never_changes() -> None:
    old = made(completions=3)
    changed = replaced(old.spec, completions=4, completion_mode="Indexed", selector=None)
    new = replaced(old, spec=changed)
    found = {problem.field: problem.message for problem in new.update_problems(old)}

    assert found == dict.fromkeys(
        ("spec.completions", "spec.completionMode", "spec.selector"), "field is immutable"
    )


def test_an_indexed_job_may_grow_and_shrink_as_a_whole() -> None:
    old = made(completions=3, parallelism=3, completionMode="Indexed")
    both = replaced(old, spec=replaced(old.spec, completions=5, parallelism=5))
    one = replaced(old, spec=replaced(old.spec, completions=5))

    assert list(both.update_problems(old)) == []
    assert [problem.field for problem in one.update_problems(old)] == ["spec.completions"]


def test_where_pods_go_may_change_before_a_suspended_job_has_begun() -> None:
    old = made(suspend=True)
    template = old.spec.template
    placed = replaced(template, spec=replaced(template.spec, node_selector={"disk": "fast"}))
    new = replaced(old, spec=replaced(old.spec, template=placed))
    begun = replaced(old, status=JobStatus(start_time=NOW))

    assert list(new.update_problems(old)) == []
    assert [one.field for one in new.update_problems(begun)] == ["spec.template"]


@pytest.mark.parametrize(
    ("spec", "status", "cells"),
    [
        ({"completions": 3}, {"succeeded": 1}, ["Running", "1/3", ""]),
        ({"parallelism": 3}, {}, ["Running", "0/1 of 3", ""]),
        ({"parallelism": 1}, {"start_time": NOW}, ["Running", "0/1", "7s"]),
        ({}, {"conditions": (a_condition("Suspended"),)}, ["Suspended", "0/1", ""]),
        ({}, {"conditions": (a_condition("FailureTarget"),)}, ["FailureTarget", "0/1", ""]),
        (
            {},
            {
                "conditions": (a_condition("SuccessCriteriaMet"), a_condition("Complete")),
                "start_time": NOW,
                "completion_time": NOW + timedelta(seconds=3),
                "succeeded": 1,
            },
            ["Complete", "1/1", "3s"],
        ),
        ({}, {"conditions": (a_condition("Failed"),)}, ["Failed", "0/1", ""]),
    ],
)
def test_a_job_shows_what_kubectl_shows(spec: Tree, status: Tree, cells: list[str]) -> None:
    one = replaced(made(**spec), status=JobStatus(**status))
    now = NOW + timedelta(seconds=7)
    shown = {column.title: column.cell(one, now) for column in Job.columns}

    assert [shown[title] for title in ("Status", "Completions", "Duration")] == cells


@pytest.mark.parametrize("text", ["", "0", "1,3-5,7", "0-99", "4,6"])
def test_indexes_survive_their_text(text: str) -> None:
    assert text_of(indexes_in(text)) == text


def test_two_indexes_in_a_row_are_no_range() -> None:
    assert text_of([2, 1, 5]) == "1,2,5"


@pytest.mark.parametrize("text", ["1,1", "3-1", "2,1", "a", "1-", "-1", "1,,2", "٣"])
def test_what_is_no_list_of_rising_indexes_is_refused(text: str) -> None:
    with pytest.raises(NotIndexes):
        list(intervals_in(text))


def cron_problems(**spec: object) -> list[tuple[str, str]]:
    tree = {
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "@hourly", "jobTemplate": {"spec": BARE["spec"]}, **spec},
    }
    one = codec.from_tree(CronJob, tree).model.defaulted()
    return [(problem.field, problem.message) for problem in one.problems()]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"schedule": ""}, "spec.schedule", "is required"),
        ({"schedule": "1 2 3"}, "spec.schedule", "expected exactly 5 fields, found 3: 1 2 3"),
        (
            {"schedule": "TZ=UTC 0 0 * * *"},
            "spec.schedule",
            "cannot use TZ or CRON_TZ in schedule, use timeZone field",
        ),
        ({"timeZone": ""}, "spec.timeZone", "must be nil or non-empty string"),
        ({"timeZone": "Mars/Base"}, "spec.timeZone", "unknown time zone Mars/Base"),
        (
            {"timeZone": "Local"},
            "spec.timeZone",
            "timeZone must be an explicit time zone, such as Europe/Berlin",
        ),
        (
            {"jobTemplate": {"spec": {**BARE["spec"], "selector": {"matchLabels": {"a": "b"}}}}},
            "spec.jobTemplate.spec.selector",
            "`selector` will be auto-generated",
        ),
    ],
)
def test_a_cronjob_that_kubernetes_refuses_is_refused(spec: Tree, field: str, message: str) -> None:
    assert cron_problems(**spec) == [(field, message)]


def test_a_cronjob_that_is_right_is_taken() -> None:
    assert cron_problems(timeZone="Europe/Berlin") == []
