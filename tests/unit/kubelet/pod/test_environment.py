"""`$(NAME)` in commands and environments: the cases of Kubernetes' own page, and its bounds."""

import pytest

from cubernetes.api.core.podspec.container import EnvVar
from kubelet.pod.decisions.environment import TEXT_BYTES_MAX, environment_of, expanded, expanded_all
from kubelet.runtime.driver import RuntimeTrouble

VALUES = {"A": "1", "B": "$(A)", "EMPTY": "", "A-B.c": "x"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)", "1"),
        ("<$(A)$(A)>", "<11>"),
        ("$(EMPTY)", ""),
        ("$(A-B.c)", "x"),
        ("$(B)", "$(A)"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$($(A))", "$($(A))"),
        ("f$$oo", "f$oo"),
        ("", ""),
    ],
)
def test_a_reference_is_replaced_once_and_what_is_unknown_stays(text: str, result: str) -> None:
    assert expanded(text, VALUES, "args[0]") == result
    assert expanded_all(["x", text], VALUES, "args") == ("x", result)


def test_a_variable_uses_those_before_it_and_those_given_but_none_behind_it() -> None:
    wanted = [
        EnvVar(name="EARLY", value="$(LATE)"),
        EnvVar(name="LATE", value="$(HOST)!"),
        EnvVar(name="TWICE", value="$(LATE)$(LATE)"),
        EnvVar(name="HOST", value="own"),
        EnvVar(name="LATE", value="$(HOST)?"),
    ]
    assert environment_of(wanted, {"HOST": "10.96.0.1", "PORT": "80"}) == {
        "HOST": "own",
        "PORT": "80",
        "EARLY": "$(LATE)",
        "LATE": "own?",
        "TWICE": "10.96.0.1!10.96.0.1!",
    }


def test_texts_that_double_each_other_end_at_what_a_program_can_be_given() -> None:
    doubling = [EnvVar(name="V0", value="x" * 100)]
    doubling += [EnvVar(name=f"V{at}", value=f"$(V{at - 1})" * 2) for at in range(1, 64)]
    with pytest.raises(RuntimeTrouble, match="env V11 is longer than 131072 bytes") as error:
        environment_of(doubling)
    assert error.value.reason == "CreateContainerConfigError"

    fits, letters = "x" * TEXT_BYTES_MAX, "é" * (TEXT_BYTES_MAX // 2)
    assert expanded(fits, {}, "args[0]") == fits
    assert expanded(letters, {}, "args[0]") == letters
    with pytest.raises(RuntimeTrouble, match=r"args\[0\]"):
        expanded_all([letters + "x"], {}, "args")
