"""Which Pod Security level a namespace asks for, by its labels. Pure.

A level is enforced, warned of, or audited, each as of a version of the standards. Labels that
cannot be read enforce the strictest level there is: a typing error opens nothing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from cubernetes.api.errors import Problem

type Level = Literal["privileged", "baseline", "restricted"]
type Mode = Literal["enforce", "audit", "warn"]

# From the loosest to the strictest.
LEVELS: tuple[Level, ...] = ("privileged", "baseline", "restricted")
LEVEL_RULE = f"must be one of {', '.join(LEVELS)}"
VERSION_RULE = 'must be "latest" or "v1.x"'
PREFIX = "pod-security.kubernetes.io/"
LATEST = "latest"
# Beyond every version there will be.
LATEST_MINOR = 10**9
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,7})\Z")


class Standard(NamedTuple):
    """A level, as of a version: `restricted:v1.30`."""

    level: Level = "privileged"
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def minor(self) -> int:
        """The version as a number that grows with it."""
        match = _VERSION.match(self.version)
        return int(match[1]) if match else LATEST_MINOR

    def is_stricter_than(self, other: "Standard") -> bool:
        return LEVELS.index(self.level) > LEVELS.index(other.level)


class Policy(NamedTuple):
    """What becomes of pods that violate a standard: they are refused, audited, warned of."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()

    @property
    def is_open(self) -> bool:
        """Nothing is forbidden, audited or warned of."""
        return all(one.level == "privileged" for one in self)


OPEN = Policy()


def policy_of(labels: Mapping[str, str], default: Level = "privileged") -> Policy:
    """Return what a namespace asks for; default is enforced where it says nothing.

    Without a level of its own to warn of, what is enforced is warned of as well: so the author of a
    workload learns at once what its pods will not be allowed.
    """
    if default == "privileged" and not any(key.startswith(PREFIX) for key in labels):
        return OPEN
    enforce = _standard(labels, "enforce", default, or_else="restricted")
    # What cannot be read warns of nothing and audits nothing: neither protects anything.
    audit = _standard(labels, "audit", "privileged", or_else="privileged")
    warn = _standard(labels, "warn", "privileged", or_else="privileged")
    if _key("warn") not in labels and labels.get(_key("enforce"), default) in LEVELS:
        is_dated = _version_key("warn") in labels
        warn = Standard(enforce.level, warn.version if is_dated else enforce.version)
    return Policy(enforce, audit, warn)


def label_problems(labels: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what is wrong with the labels of a namespace that say its levels."""
    for mode in ("enforce", "audit", "warn"):
        level, version = labels.get(_key(mode)), labels.get(_version_key(mode))
        if level is not None and level not in LEVELS:
            yield _problem(_key(mode), level, LEVEL_RULE)
        if version is not None and not _is_version(version):
            yield _problem(_version_key(mode), version, VERSION_RULE)


def _standard(labels: Mapping[str, str], mode: Mode, default: Level, *, or_else: Level) -> Standard:
    stated, version = labels.get(_key(mode), default), labels.get(_version_key(mode), LATEST)
    level = next((one for one in LEVELS if one == stated), or_else)
    return Standard(level, version if _is_version(version) else LATEST)


def _is_version(text: str) -> bool:
    return text == LATEST or _VERSION.match(text) is not None


def _key(mode: Mode) -> str:
    return f"{PREFIX}{mode}"


def _version_key(mode: Mode) -> str:
    return f"{PREFIX}{mode}-version"


def _problem(key: str, value: str, rule: str) -> Problem:
    return Problem(f"metadata.labels[{key}]", f'"{value[:63]}": {rule}')
