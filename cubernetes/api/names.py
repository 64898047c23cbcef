"""Names, label keys and values: which texts are accepted, and how that is said.

Rules are RFC 1123's (labels and subdomains), RFC 1035's (services) and Kubernetes' for label
keys and values. Only ASCII passes, so nothing that looks like another name can be one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cubernetes.api.errors import Problem

LABEL_MAX = 63
SUBDOMAIN_MAX = 253
LABEL_COUNT_MAX = 64
ANNOTATION_BYTES_MAX = 256 * 1024
ANNOTATION_COUNT_MAX = 1024

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_ROLE = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.:@]*\Z")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z")
_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+\Z")
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")

LABEL_RULE = (
    "must be at most 63 lower-case letters, digits and '-', beginning and ending with a letter "
    "or digit (RFC 1123 label)"
)
SUBDOMAIN_RULE = (
    "must be at most 253 lower-case letters, digits, '-' and '.', each part beginning and ending "
    "with a letter or digit (RFC 1123 subdomain)"
)
ROLE_RULE = (
    "must be at most 253 letters, digits, '-', '_', '.', ':' and '@', beginning with a letter or "
    "digit"
)
SERVICE_RULE = (
    "must be at most 63 lower-case letters, digits and '-', beginning with a letter and ending "
    "with a letter or digit (RFC 1035 label)"
)
LABEL_KEY_RULE = (
    "must be a name of at most 63 letters, digits, '-', '_' and '.', with an optional DNS "
    "subdomain and '/' before it"
)
DOMAIN_PATH_RULE = "must be a domain-prefixed path (such as 'acme.io/foo')"
LABEL_VALUE_RULE = (
    "must be empty or at most 63 letters, digits, '-', '_' and '.', beginning and ending with a "
    "letter or digit"
)


class NameRule(NamedTuple):
    """What names the objects of a kind may have: a check, and the sentence that says it."""

    is_legal: Callable[[str], bool]
    told: str


def is_label(text: str) -> bool:
    return len(text) <= LABEL_MAX and _LABEL.match(text) is not None


def is_subdomain(text: str) -> bool:
    return len(text) <= SUBDOMAIN_MAX and _SUBDOMAIN.match(text) is not None


def is_role_name(text: str) -> bool:
    """Roles and their bindings have names with colons: system:auth-delegator."""
    return len(text) <= SUBDOMAIN_MAX and _ROLE.match(text) is not None


SUBDOMAINS = NameRule(is_subdomain, SUBDOMAIN_RULE)
ROLES = NameRule(is_role_name, ROLE_RULE)


def is_service_name(text: str) -> bool:
    return len(text) <= LABEL_MAX and _SERVICE.match(text) is not None


def is_port_name(text: str) -> bool:
    """At most 15 characters, with one letter at least (RFC 6335)."""
    return (
        len(text) <= 15
        and _PORT_NAME.match(text) is not None
        and any(letter.isalpha() for letter in text)
        and "--" not in text
    )


def is_label_key(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return 0 < len(name) <= LABEL_MAX and _VALUE.match(name) is not None


def is_domain_path(text: str) -> bool:
    """Whether it is `DOMAIN/PATH`, as controllers of third parties are named."""
    domain, slash, path = text.partition("/")
    return bool(slash) and is_subdomain(domain) and _PATH.match(path) is not None


def is_label_value(text: str) -> bool:
    return len(text) <= LABEL_MAX and _VALUE.match(text) is not None


def label_problems(labels: Mapping[str, str], field: str) -> Iterator[Problem]:
    """Yield what is wrong with a map of labels (or a selector) that stands at field."""
    if len(labels) > LABEL_COUNT_MAX:
        yield Problem(field, f"too many: {len(labels)}, at most {LABEL_COUNT_MAX}")
        return
    for key, value in labels.items():
        if not is_label_key(key):
            yield Problem(field, f"key {key[:80]!r} {LABEL_KEY_RULE}")
        if not is_label_value(value):
            yield Problem(f"{field}[{key[:80]}]", LABEL_VALUE_RULE)


def annotation_problems(annotations: Mapping[str, str], field: str) -> Iterator[Problem]:
    """Yield what is wrong with annotations: keys as labels', values of any text, 256 KiB in all."""
    if len(annotations) > ANNOTATION_COUNT_MAX:
        yield Problem(field, f"too many: {len(annotations)}, at most {ANNOTATION_COUNT_MAX}")
        return
    for key in annotations:
        # Annotation keys may have upper-case prefixes in the wild; Kubernetes lowers them to check.
        if not is_label_key(key.lower()):
            yield Problem(field, f"key {key[:80]!r} {LABEL_KEY_RULE}")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > ANNOTATION_BYTES_MAX:
        yield Problem(field, f"too large: {size} bytes, at most {ANNOTATION_BYTES_MAX}")
