"""Which tokens of service accounts a pod's volumes ask for, and when each is renewed. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import sources_of

# As Kubernetes' kubelet: once a fifth of its life is left, or after a day.
RENEWED_AT = 0.8
RENEWED_AFTER = timedelta(hours=24)


class Wish(NamedTuple):
    """A token as a volume of a pod asks for it."""

    audience: str
    life_s: int


type Tokens = Mapping[Wish, str]


def renewed_at(expires_at: datetime | None, now: datetime) -> datetime:
    """Return from when on another token is asked for, in place of one that is given now."""
    life = expires_at - now if expires_at is not None else RENEWED_AFTER
    return now + min(life * RENEWED_AT, RENEWED_AFTER)


def wishes_of(pod: Pod) -> tuple[Wish, ...]:
    """Return the tokens that a pod's volumes ask for, each once."""
    projections = (
        source.service_account_token for one in pod.spec.volumes for source in sources_of(one)
    )
    found = (Wish(one.audience, one.expiration_seconds) for one in projections if one is not None)
    return tuple(dict.fromkeys(found))
