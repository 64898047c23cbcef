"""How a site of Slurm is reached, and what its jobs are told."""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from cubernetes.api import names
from cubernetes.api.errors import Problem
from cubernetes.api.meta import Model, shown

# Where the Secrets of sites are: the only ones that the program of GPU jobs reads.
KEYS_NAMESPACE, KEY_FIELD = "gpu-sites", "ssh-privatekey"
HOST_KEYS_MAX, MODULES_MAX = 10, 20
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?\Z")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\Z")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,99}\Z")
_HOST_KEY = re.compile(r"(?:ssh|ecdsa)-[a-z0-9-]{1,40} [A-Za-z0-9+/]{16,2000}={0,2}\Z")
WORD_RULE = "must be a plain word: letters, digits, '_', '.', '+', '/' and '-'"
HOST_KEY_RULE = (
    "must be as ssh-keyscan prints it, without the host's name: ssh-ed25519 AAAAC3Nza..."
)


class Slurm(Model):
    """A login node of a Slurm site, where `cube-site` is the forced command of a key of ours.

    host: its name or address.
    port: where its sshd listens.
    user: whose jobs they are there.
    key_secret: the Secret in the namespace gpu-sites whose `ssh-privatekey` is let in there.
    host_keys: the keys by which the host is known; without one of them nothing is sent.
    partition: where jobs go; empty is the site's default.
    account: on whose account they run; empty is the user's default.
    modules: what is loaded before a job's program is built or run.
    arch: for which GPUs nvcc builds, such as sm_90; empty is its default.
    """

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = shown(22)
    user: str
    key_secret: str
    host_keys: tuple[str, ...]
    partition: str = ""
    account: str = ""
    modules: tuple[str, ...] = ()
    arch: str = ""


def slurm_problems(slurm: Slurm, field: str) -> Iterator[Problem]:
    if _HOST.match(slurm.host) is None:
        yield Problem(f"{field}.host", "must be a name or an address")
    if _USER.match(slurm.user) is None:
        yield Problem(f"{field}.user", "must be the name of a user of Unix")
    if not names.is_subdomain(slurm.key_secret):
        yield Problem(f"{field}.keySecret", names.SUBDOMAIN_RULE)
    if not 1 <= len(slurm.host_keys) <= HOST_KEYS_MAX:
        yield Problem(f"{field}.hostKeys", f"must be 1 to {HOST_KEYS_MAX} keys")
    for index, one in enumerate(slurm.host_keys):
        if _HOST_KEY.match(one) is None:
            yield Problem(f"{field}.hostKeys[{index}]", HOST_KEY_RULE)
    yield from _word_problems(slurm, field)


def _word_problems(slurm: Slurm, field: str) -> Iterator[Problem]:
    if len(slurm.modules) > MODULES_MAX:
        yield Problem(f"{field}.modules", f"must be at most {MODULES_MAX}")
    words = {"partition": slurm.partition, "account": slurm.account, "arch": slurm.arch}
    given = {name: one for name, one in words.items() if one}
    modules = {f"modules[{index}]": one for index, one in enumerate(slurm.modules)}
    for name, one in (given | modules).items():
        if _WORD.match(one) is None:
            yield Problem(f"{field}.{name}", WORD_RULE)
