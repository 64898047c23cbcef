"""`cuberoot`: init, join, start, stop, renew, enable, disable, status, net, images, ..."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import click

from cubernetes.api.errors import ApiError
from cubernetes.client.outcome import TransportError
from cubernetes.host.cni.conflist import CONFIG_BYTES_MAX, ConflistInvalid, conflist_of
from cubernetes.host.command import CommandFailed
from cubernetes.host.env import Env
from cubernetes.host.settings import SettingsInvalid
from cuberoot import node, optional, tokens
from cuberoot.apply import NotClean, NotInitialised
from cuberoot.checks.images import NodesSilent, show_images
from cuberoot.checks.net import PathsBlocked, check_net
from cuberoot.cluster import (
    DOMAIN,
    PASSWORD_CHARS_MAX,
    PROGRAMS_ANNOTATION,
    NetworkKind,
    PodNetwork,
    PodSecurity,
    ProxyBackend,
    Ranges,
    password_of,
)
from cuberoot.host.alone import Busy, alone
from cuberoot.host.waiting import NotYet
from cuberoot.join import JoinRefused
from cuberoot.node import NotFit
from cuberoot.optional import Choice
from cuberoot.registry import UnknownProgram
from lab.cli import lab

# What the world or the user did wrong; anything else is a bug of ours and shows its story.
REFUSALS = (
    Busy, ConflistInvalid, NotClean, NotFit, NotInitialised, NotYet, JoinRefused, ApiError,
    TransportError, CommandFailed, NodesSilent, PathsBlocked, SettingsInvalid, UnknownProgram,
    FileExistsError, OSError,
)  # fmt: skip


def say(line: str) -> None:
    click.echo(line)


def carried_out(
    work: Callable[[Env], Coroutine[Any, Any, None]], *, is_alone: bool = False
) -> None:
    """Run a command's work; a refusal is one line on stderr and exit code 1.

    is_alone: no other such work may be under way on this machine.
    """
    try:
        with alone() if is_alone else nullcontext():
            asyncio.run(work(Env()))
    except REFUSALS as error:
        click.echo(f"cuberoot: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("cuberoot: interrupted; run it again to finish", err=True)
        sys.exit(130)


manifest = click.option(
    "-f",
    "--file",
    "manifest",
    type=click.File("rb"),
    help=f"A Node manifest: name, labels and InternalIP of this node; optional programs by its "
    f"annotation {PROGRAMS_ANNOTATION}.",
)


node_address = click.option(
    "--node-address",
    default="",
    metavar="ADDRESS|NETWORK|INTERFACE",
    help="By which of this machine's addresses other nodes reach it; by default the one of the "
    "default route. A worker that was told a network or an interface follows its address there.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Turn machines into a Cubernetes cluster, and back."""


@main.command()
@manifest
@node_address
@click.option("--service-range", default="10.96.0.0/16", show_default=True)
@click.option("--pod-range", default="10.244.0.0/16", show_default=True)
@click.option("--node-port-range", default="30000-32767", show_default=True)
@click.option(
    "--load-balancer-pool",
    default="",
    help="Addresses of the nodes' network that services of type LoadBalancer are given, such as "
    "192.0.2.240/28 or 192.0.2.8-192.0.2.12. Given again, it takes the place of the one before.",
)
@click.option(
    "--cluster-domain",
    default="",
    help=f"The domain of the names of services and pods; by default {DOMAIN}. It stays so.",
)
@click.option(
    "--pod-security",
    type=click.Choice(["privileged", "baseline", "restricted"]),
    help="The Pod Security level that namespaces without a label enforce, kube-system excepted; by "
    "default privileged. Given again, it takes the place of the one before.",
)
@click.option(
    "--network",
    type=click.Choice(["vxlan", "weave", "cni"]),
    help="How pods are wired on every node; by default ours, vxlan.",
)
@click.option(
    "--weave-password-file",
    type=click.File("rb"),
    help="With --network weave: what its routers know each other by; by default one is made.",
)
@click.option(
    "--cni-config",
    type=click.File("rb"),
    help="With --network cni: the configuration list (.conflist) of the plugins.",
)
def init(  # noqa: PLR0913  one option each
    manifest: BinaryIO | None,
    node_address: str,
    service_range: str,
    pod_range: str,
    node_port_range: str,
    load_balancer_pool: str,
    cluster_domain: str,
    pod_security: PodSecurity | None,
    network: NetworkKind | None,
    weave_password_file: BinaryIO | None,
    cni_config: BinaryIO | None,
) -> None:
    """Make this machine the control plane of a new cluster (and a node of it)."""
    wish = node.NodeWish(manifest.read() if manifest else None, node_address)
    pods = _pod_network(network, cni_config, weave_password_file)
    ranges = Ranges(service_range, pod_range, node_port_range, load_balancer_pool, cluster_domain)
    carried_out(lambda env: node.init(wish, ranges, pods, env, say, pod_security), is_alone=True)


def _pod_network(
    kind: NetworkKind | None, config: BinaryIO | None, password: BinaryIO | None
) -> PodNetwork | None:
    """Return what the options say; None: they say nothing."""
    if password is not None:
        if kind != "weave":
            raise click.UsageError("--weave-password-file is for --network weave")
        return PodNetwork(kind, weave_password=_password_in(password))
    if config is None:
        if kind == "cni":
            raise click.UsageError("--network cni needs --cni-config FILE.conflist")
        return PodNetwork(kind) if kind else None
    if kind != "cni":
        raise click.UsageError("--cni-config is for --network cni")
    try:
        text = config.read(CONFIG_BYTES_MAX + 1).decode()
        conflist_of(text)
    except ValueError as error:  # ConflistInvalid and UnicodeDecodeError are
        raise click.BadParameter(str(error), param_hint="--cni-config") from error
    return PodNetwork(kind, text)


def _password_in(file: BinaryIO) -> str:
    try:
        return password_of(file.read(PASSWORD_CHARS_MAX + 2))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--weave-password-file") from error


@main.command()
@click.argument("server")
@click.option("--token", help="What init printed: id.secret, or @FILE to read it from a file.")
@click.option("--ca-hash", required=True, help="The pin that init printed: sha256:...")
@manifest
@node_address
def join(
    server: str, token: str | None, ca_hash: str, manifest: BinaryIO | None, node_address: str
) -> None:
    """Make this machine a worker of the cluster at SERVER (address or address:port)."""
    wish = node.NodeWish(manifest.read() if manifest else None, node_address)
    secret = _secret(token)
    carried_out(lambda env: node.join(server, secret, ca_hash, wish, env, say), is_alone=True)


def _secret(token: str | None) -> str:
    """Take the token from the option, a file, or the terminal, so that it need not be in ps."""
    if token is None:
        return str(click.prompt("token", hide_input=True))
    if token.startswith("@"):
        return Path(token[1:]).read_text().strip()
    return token


@main.command()
@click.option(
    "--proxy-backend",
    type=click.Choice(["iptables", "nftables"]),
    help="What this node's service proxy writes its rules in from now on; a new node: iptables.",
)
def start(proxy_backend: ProxyBackend | None) -> None:
    """Start this node's programs again, and wait until it is Ready."""
    carried_out(lambda env: node.start(env, say, proxy_backend))


@main.command()
def stop() -> None:
    """Stop this node's programs. Pods and services go on serving."""
    carried_out(lambda env: node.stop(env, say))


@main.command()
@click.option(
    "--weave-password",
    "has_new_password",
    is_flag=True,
    help="On the control plane of a cluster over Weave: also a new password for its routers. "
    "`cuberoot renew` on each other node fetches it; until then that node is cut off.",
)
@click.option(
    "--token-key",
    "has_new_token_key",
    is_flag=True,
    help="On the control plane: also another key for tokens of service accounts. Those that the "
    "old key has signed are good until they end.",
)
def renew(has_new_password: bool, has_new_token_key: bool) -> None:
    """Give this node new certificates, and start anew what uses them.

    Pods and services serve on.
    """
    carried_out(
        lambda env: node.renew(
            env, say, has_new_password=has_new_password, has_new_token_key=has_new_token_key
        ),
        is_alone=True,
    )


@main.command()
@click.argument("name")
@click.option(
    "--brokers",
    default="",
    metavar="HOST:PORT,...",
    help="For serverless: brokers of a Kafka that is there, in place of one of our own.",
)
@click.option(
    "--without-broker",
    is_flag=True,
    help="For serverless: no broker, so no durable or asynchronous calls and no triggers.",
)
@click.option(
    "--settings",
    "settings_file",
    default="",
    metavar="FILE",
    help="For tsdb: JSON with limits, options (retention), remote_write and remote_read.",
)
def enable(name: str, brokers: str, without_broker: bool, settings_file: str) -> None:
    """Have this node run an optional program, such as tsdb, now and with every start."""
    choice = Choice(brokers, without_broker, settings_file)
    carried_out(lambda env: optional.enable(name, choice, env, say), is_alone=True)


@main.command()
@click.argument("name")
def disable(name: str) -> None:
    """End an optional program and remove its files. What it has stored stays until reset."""
    carried_out(lambda env: optional.disable(name, env, say), is_alone=True)


@main.command()
def status() -> None:
    """Show what runs on this node; exit code 1 where something does not."""
    carried_out(lambda env: node.status(env, say))


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Take this node out of its cluster and remove everything that was added to it."""
    if not yes:
        click.confirm(
            "Remove this node, its pods and, on a control plane, the cluster?", abort=True
        )
    carried_out(lambda env: node.reset(env, say), is_alone=True)


@main.group()
def net() -> None:
    """The network between nodes."""


@net.command("check")
@click.option(
    "--throughput",
    is_flag=True,
    help="Also send as fast as one TCP connection can, for a second on each way, one by one.",
)
def net_check(*, throughput: bool) -> None:
    """Ask every node how it reaches every other; exit code 1 where a way is not whole."""
    carried_out(lambda env: check_net(env, say, throughput=throughput))


@main.group()
def images() -> None:
    """Images on the nodes."""


@images.command("gc")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be removed, and why not.")
def images_gc(is_dry: bool) -> None:
    """Ask every node which of its images it would remove; exit code 1 where one does not tell."""
    if not is_dry:
        raise click.UsageError("kubelets collect images by themselves; this shows: give --dry-run")
    carried_out(lambda env: show_images(env, say))


@main.group()
def token() -> None:
    """Tokens by which machines may join."""


@token.command("create")
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1, 8760))
@click.option("--uses", type=click.Choice(["one", "many"]), default="one", show_default=True)
@click.option(
    "--node", "for_node", default="", help="For this node alone, in the place of one of its name."
)
def token_create(hours: int, uses: str, for_node: str) -> None:
    """Make a token and print the join command."""
    is_once = uses == "one"
    carried_out(
        lambda env: tokens.create(env, say, hours=hours, is_once=is_once, for_node=for_node)
    )


@token.command("list")
def token_list() -> None:
    """Show the tokens that can still be used (never their secrets)."""
    carried_out(lambda env: tokens.show(env, say))


@token.command("revoke")
@click.argument("token_id")
def token_revoke(token_id: str) -> None:
    """Make a token useless."""
    carried_out(lambda env: tokens.revoke(token_id, env, say))


main.add_command(lab)
