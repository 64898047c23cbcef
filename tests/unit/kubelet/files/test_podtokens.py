"""Tokens in volumes: asked for once, renewed in time, and kept where nobody answers."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from cubernetes.api.bodies.accounts import TokenRequest, TokenRequestStatus
from cubernetes.api.core.pod import Pod
from cubernetes.api.core.podspec.volumes.volume import Volume, is_kept_in_memory
from cubernetes.api.meta import replaced
from cubernetes.client.outcome import Unreachable
from cubernetes.client.rest import Client
from cubernetes.host.env import Env
from kubelet.files.contents import Content, File, Missing, files_of, mark_of
from kubelet.objects.tokens import LOOK_S, PodTokens
from kubelet.objects.tokenwishes import Wish, renewed_at, wishes_of
from kubelet.pod.volumes import files_by_volume
from tests.given import NOW, a_pod
from tests.simulation.clock import SimClock
from tests.simulation.loop import run_simulated

TOKEN = {"serviceAccountToken": {"path": "token"}}
VAULT = {"serviceAccountToken": {"path": "v", "audience": "vault", "expirationSeconds": 600}}
OWN = Wish("", 3600)


def a_pod_of(*sources: dict[str, Any]) -> Pod:
    pod = a_pod("web-0")
    volume = msgspec.convert({"name": "v", "projected": {"sources": sources}}, Volume)
    return replaced(pod, spec=replaced(pod.spec, volumes=(volume,)))


class Signer:
    """A client that signs, as long as a test lets it."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self.error: Exception | None = None
        self.asked: list[TokenRequest] = []
        self.given_max = 100

    async def token(self, account: str, namespace: str, asked: TokenRequest) -> TokenRequest:
        assert (account, namespace) == ("default", "default")
        if self.error is not None:
            raise self.error
        if len(self.asked) == self.given_max:
            raise Unreachable("away")
        self.asked.append(asked)
        life_s = asked.spec.expiration_seconds or 0
        ends_at = self._env.clock.now() + timedelta(seconds=life_s)
        text = f"token {len(self.asked)}"
        status = TokenRequestStatus(token=text, expiration_timestamp=ends_at)
        return replaced(asked, status=status)


def some_tokens(env: Env, *pods: Pod) -> tuple[PodTokens, Signer]:
    signer = Signer(env)
    tokens = PodTokens(cast(Client, signer), env)
    tokens.want(pods)
    return tokens, signer


def test_a_token_is_a_file_of_the_volume() -> None:
    pod = a_pod_of(TOKEN)
    (volume,) = pod.spec.volumes

    assert files_of(pod, volume, Content(tokens={OWN: "t"})) == {"token": File(b"t", 0o644)}
    assert is_kept_in_memory(volume)


def test_what_is_written_stays_where_a_token_is_not_known() -> None:
    pod = a_pod_of(TOKEN)
    untold = Content(untold="nobody answers")

    assert files_by_volume(pod, untold) == {"v": None}
    assert mark_of(pod, untold) is None
    with pytest.raises(Missing, match="nobody answers"):
        files_of(pod, pod.spec.volumes[0], untold)


def test_another_token_is_another_content() -> None:
    pod = a_pod_of(TOKEN)
    marks = [mark_of(pod, Content(tokens={OWN: text})) for text in ("a", "b", "a")]

    assert marks[0] == marks[2] != marks[1]


def test_a_token_is_renewed_when_a_fifth_of_its_life_is_left_or_after_a_day() -> None:
    assert renewed_at(NOW + timedelta(seconds=1000), NOW) == NOW + timedelta(seconds=800)
    assert renewed_at(NOW + timedelta(days=300), NOW) == NOW + timedelta(days=1)


def test_each_token_that_volumes_ask_for_is_asked_for_once() -> None:
    async def story(env: Env) -> None:
        pod = a_pod_of(TOKEN, VAULT, TOKEN)
        tokens, signer = some_tokens(env, pod)

        for _ in range(2):
            found, why = await tokens.known(pod)
            assert (found, why) == ({OWN: "token 1", Wish("vault", 600): "token 2"}, "")
        assert [one.spec.audiences for one in signer.asked] == [(), ("vault",)]
        assert [one.spec.expiration_seconds for one in signer.asked] == [3600, 600]
        bound = signer.asked[0].spec.bound_object_ref
        assert bound is not None
        assert (bound.kind, bound.name, bound.uid) == ("Pod", "web-0", pod.metadata.uid)

    run_simulated(story(Env(clock=SimClock())))


def test_a_token_is_renewed_in_time_and_its_pod_is_told() -> None:
    async def story(env: Env) -> None:
        pod = a_pod_of(VAULT)
        tokens, signer = some_tokens(env, pod)
        told: list[str] = []
        tokens.on_renewed(told.append)
        await tokens.known(pod)

        await env.clock.sleep(481)
        signer.error = Unreachable("away")
        await tokens.renew_due()
        assert (told, tokens.known_now(pod)) == ([], ({Wish("vault", 600): "token 1"}, ""))

        signer.error = None
        await tokens.renew_due()
        assert told == [pod.metadata.uid]
        assert tokens.known_now(pod)[0] == {Wish("vault", 600): "token 2"}

    run_simulated(story(Env(clock=SimClock())))


def test_the_loop_renews_while_there_are_tokens() -> None:
    async def story(env: Env) -> None:
        pod = a_pod_of(VAULT)
        tokens, signer = some_tokens(env, pod)
        await tokens.known(pod)
        renewing = asyncio.create_task(tokens.run())
        await env.clock.sleep(480 + 2 * LOOK_S)
        renewing.cancel()
        assert len(signer.asked) == 2

    run_simulated(story(Env(clock=SimClock())))


def test_why_there_is_no_token_is_told_and_it_is_asked_for_again() -> None:
    async def story(env: Env) -> None:
        pod = a_pod_of(TOKEN)
        tokens, signer = some_tokens(env, pod)
        signer.error = Unreachable("away")

        found, why = await tokens.known(pod)
        assert found == {}
        assert 'token of serviceaccount "default" not given' in why
        assert tokens.is_away
        signer.error = None
        # Others that begin do not wait for it again; whose it is hears of it once it is there.
        assert await tokens.known(pod) == ({}, why)
        told: list[str] = []
        tokens.on_renewed(told.append)
        await tokens.renew_due()
        assert told == [pod.metadata.uid]
        assert await tokens.known(pod) == ({OWN: "token 1"}, "")
        assert not tokens.is_away
        await tokens.renew_due()
        assert len(signer.asked) == 1

    run_simulated(story(Env(clock=SimClock())))


def test_of_two_tokens_that_are_owed_the_second_is_asked_for_until_it_is_there() -> None:
    async def story(env: Env) -> None:
        pod = a_pod_of(TOKEN, VAULT)
        tokens, signer = some_tokens(env, pod)
        signer.error = Unreachable("away")
        await tokens.known(pod)
        signer.error, signer.given_max = None, 1
        await tokens.renew_due()
        assert len(tokens.known_now(pod)[0]) == 1
        signer.given_max = 2
        await tokens.renew_due()
        assert tokens.known_now(pod) == ({OWN: "token 1", Wish("vault", 600): "token 2"}, "")

    run_simulated(story(Env(clock=SimClock())))


def test_tokens_of_a_pod_that_has_gone_are_forgotten() -> None:
    async def story(env: Env) -> None:
        pod = a_pod_of(TOKEN)
        tokens, _ = some_tokens(env, pod)
        await tokens.known(pod)

        tokens.want(())
        assert tokens.known_now(pod)[0] == {}

    run_simulated(story(Env(clock=SimClock())))


def test_a_pod_without_such_volumes_asks_for_nothing() -> None:
    assert wishes_of(a_pod("web-0")) == ()
