"""Tokens of service accounts for the volumes of this node's pods, each renewed before it ends.

They are kept in memory alone. While the API server is away, the ones that are there go on, and
those that are owed since the node began again are asked for once it is back.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from cubernetes.api.bodies.accounts import BoundObjectReference, TokenRequest, TokenRequestSpec
from cubernetes.api.core.pod import Pod, is_finished
from cubernetes.api.core.serviceaccount import DEFAULT
from cubernetes.api.errors import ApiError
from cubernetes.client.outcome import UNDECIDED, TransportError
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from cubernetes.host.log import Log
from kubelet.objects.tokenwishes import Tokens, Wish, renewed_at, wishes_of

log = Log(__name__)

ASK_DEADLINE_S = 10.0
LOOK_S = 10.0  # between two looks at which are to be renewed
# For how long an API server that did not answer is not asked again by pods that begin.
AWAY_S = 30.0


class Token(NamedTuple):
    """A token, and from when on another is asked for."""

    text: str
    renewed_at: datetime


type Renewed = Callable[[str], None]  # with the uid of a pod


class PodTokens:
    """The tokens of all pods of this node. Run `run` beside the workers."""

    def __init__(self, client: Client, env: Env) -> None:
        self._client, self._env = client, env
        self._known: dict[str, dict[Wish, Token]] = {}
        self._pods: dict[str, Pod] = {}
        self._some = asyncio.Event()
        # The pods that began without theirs; and why, and until when nobody asks again.
        self._owed: set[str] = set()
        self._away, self._away_until_s = "", 0.0
        self._callbacks: list[Renewed] = []

    def on_renewed(self, callback: Renewed) -> None:
        self._callbacks.append(callback)

    def want(self, pods: Iterable[Pod]) -> None:
        """Take the complete list of this node's pods, and forget the tokens of all others."""
        self._pods = {
            one.metadata.uid: one for one in pods if not is_finished(one) and wishes_of(one)
        }
        self._known = {uid: found for uid, found in self._known.items() if uid in self._pods}
        self._owed &= self._pods.keys()
        if self._pods:
            self._some.set()
        else:
            self._some.clear()

    async def known(self, pod: Pod) -> tuple[Tokens, str]:
        """Return the pod's tokens, asked for where there are none; and why some are missing."""
        why = ""
        for wish in wishes_of(pod):
            if wish not in self._known.get(pod.metadata.uid, {}):
                why = await self._ask(pod, wish) if not self.is_away else self._away
                if why:
                    self._owed.add(pod.metadata.uid)
                    break
        return self.known_now(pod)[0], why

    @property
    def is_away(self) -> bool:
        """Whether the API server did not answer a moment ago."""
        return self._env.clock.monotonic() < self._away_until_s

    def known_now(self, pod: Pod) -> tuple[Tokens, str]:
        """Return the same without asking."""
        found = self._known.get(pod.metadata.uid, {})
        is_all = all(wish in found for wish in wishes_of(pod))
        tokens = {wish: token.text for wish, token in found.items()}
        return tokens, "" if is_all else "a token has not been asked for yet"

    async def run(self) -> None:
        """Renew for ever what is to be renewed."""
        while True:
            await self._some.wait()
            await self._env.clock.sleep(LOOK_S)
            await self.renew_due()

    async def renew_due(self) -> None:
        """Renew what is to be renewed now, and tell of it."""
        now = self._env.clock.now()
        due = [
            (uid, wish)
            for uid, tokens in sorted(self._known.items())
            for wish, token in sorted(tokens.items())
            if token.renewed_at <= now
        ]
        due += [
            (uid, wish)
            for uid in sorted(self._owed)
            for wish in wishes_of(self._pods[uid])
            if wish not in self._known.get(uid, {})
        ]
        for uid, wish in due:
            pod = self._pods.get(uid)
            if pod is None:
                continue
            if why := await self._ask(pod, wish):
                # The others are asked for at the next look: the API server may be away.
                log.warning("token not renewed", pod=str(pod.ref), why=why, cause=pod.cause)
                return
            for callback in self._callbacks:
                callback(uid)

    async def _ask(self, pod: Pod, wish: Wish) -> str:
        """Ask for a token and keep it; return why there is none, empty where there is."""
        meta, account = pod.metadata, pod.spec.service_account_name or DEFAULT
        bound = BoundObjectReference(kind="Pod", api_version="v1", name=meta.name, uid=meta.uid)
        spec = TokenRequestSpec(
            audiences=(wish.audience,) if wish.audience else (),
            expiration_seconds=wish.life_s,
            bound_object_ref=bound,
        )
        now = self._env.clock.now()
        try:
            async with asyncio.timeout(ASK_DEADLINE_S):
                told = await self._client.token(account, meta.namespace, TokenRequest(spec=spec))
        except (ApiError, TransportError, *UNDECIDED, TimeoutError) as error:
            said = str(error) or f"no answer within {ASK_DEADLINE_S:.0f} s"
            why = f'token of serviceaccount "{account}" not given: {said}'
            if not isinstance(error, ApiError):
                self._away, self._away_until_s = why, self._env.clock.monotonic() + AWAY_S
            return why
        self._away_until_s = 0.0
        token = Token(told.status.token, renewed_at(told.status.expiration_timestamp, now))
        self._known.setdefault(meta.uid, {})[wish] = token
        if not self.known_now(pod)[1]:
            self._owed.discard(meta.uid)
        return ""
