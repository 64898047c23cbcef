"""Whom a pod's containers ask for names, and what of that is legal."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec

from cubernetes.api import names
from cubernetes.api.core.node import is_address
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model

type DNSPolicy = Literal["ClusterFirst", "Default", "None", "ClusterFirstWithHostNet"]
# Of resolv.conf: a line break or a blank would say something else there.
_OPTION = re.compile(r"[A-Za-z0-9_-]{1,63}\Z", re.ASCII)
SERVERS_MAX, SEARCHES_MAX, SEARCHES_CHARS_MAX = 3, 32, 2048


class PodDNSOption(Model):
    """An option of the resolver in a pod's containers, as resolv.conf has them.

    name: `ndots`, `timeout`.
    value: its number, where it has one.
    """

    name: str
    value: str | None = None


class PodDNSConfig(Model):
    """What is added to that which `dnsPolicy` gives.

    nameservers: addresses that are asked, after those of the policy; at most 3.
    searches: domains below which short names are tried, after those of the policy; at most 32.
    options: in place of the policy's of the same name.
    """

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: Annotated[tuple[PodDNSOption, ...], msgspec.Meta(max_length=64)] = ()


def dns_problems(policy: str, config: PodDNSConfig | None, field: str) -> Iterator[Problem]:
    """Yield what is wrong with whom a pod asks for names, by Kubernetes' limits."""
    where = f"{field}.dnsConfig"
    if policy == "None" and (config is None or not config.nameservers):
        message = "needs at least one where dnsPolicy is None"
        yield Problem(f"{where}.nameservers", message, "FieldValueRequired")
    if config is None:
        return
    yield from _nameservers(config.nameservers, f"{where}.nameservers")
    yield from _searches(config.searches, f"{where}.searches")
    for index, option in enumerate(config.options):
        for part, text in (("name", option.name), ("value", option.value or "0")):
            if not _OPTION.match(text):
                rule = "must be letters, digits, '-' and '_'"
                yield Problem(f"{where}.options[{index}].{part}", rule)


def _nameservers(servers: Sequence[str], field: str) -> Iterator[Problem]:
    if len(servers) > SERVERS_MAX:
        yield Problem(field, f"must have at most {SERVERS_MAX}")
    for index, address in enumerate(servers):
        if not is_address(address):
            yield Problem(f"{field}[{index}]", "must be an IPv4 address")


def _searches(searches: Sequence[str], field: str) -> Iterator[Problem]:
    if len(searches) > SEARCHES_MAX or len(" ".join(searches)) > SEARCHES_CHARS_MAX:
        rule = f"must have at most {SEARCHES_MAX}, with {SEARCHES_CHARS_MAX} characters in all"
        yield Problem(field, rule)
    for index, domain in enumerate(searches):
        if domain != "." and not names.is_subdomain(domain.removesuffix(".")):
            yield Problem(f"{field}[{index}]", names.SUBDOMAIN_RULE)
