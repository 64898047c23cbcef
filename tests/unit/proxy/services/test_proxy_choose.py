"""Which backend a node has: what the settings accept, and what a machine is refused for."""

import errno
import socket
from pathlib import Path

import pytest

from cubernetes.client.connect import ClientSettings
from cubernetes.host.env import Env
from cubernetes.host.packetfilter.nftsocket import NftSocket
from cubernetes.host.program import CannotGoOn
from cubernetes.host.settings import SettingsInvalid, read_settings
from proxy.services.choose import backend_of_this_node
from proxy.services.iptables import IptablesBackend
from proxy.settings import ProxySettings
from tests.papernet import PaperNet
from tests.unit.proxy.services.clusters import FACTS

CLIENT = ClientSettings(servers=("https://127.0.0.1:1",), ca="/none")


def no_socket() -> socket.socket:
    raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")


async def test_iptables_is_the_default() -> None:
    settings = ProxySettings(client=CLIENT, iptables="nft")

    backend = await backend_of_this_node(settings, Env(commands=PaperNet()), FACTS)

    assert isinstance(backend, IptablesBackend)


def test_another_word_is_refused_with_the_field_and_what_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "proxy.json"
    file.write_text(
        '{"client": {"servers": ["https://127.0.0.1:1"], "ca": "/n"}, "backend": "nft"}'
    )

    with pytest.raises(SettingsInvalid, match=r"Invalid enum value 'nft' - at `\$\.backend`"):
        read_settings(ProxySettings, file)


async def test_a_machine_without_nf_tables_is_told_what_to_choose() -> None:
    settings = ProxySettings(client=CLIENT, iptables="nft", backend="nftables")
    why = r"has no nf_tables \(Protocol not supported\): choose iptables"

    with pytest.raises(CannotGoOn, match=why):
        await backend_of_this_node(settings, Env(commands=PaperNet()), FACTS, NftSocket(no_socket))


async def test_where_there_is_no_kernel_nftables_is_refused() -> None:
    settings = ProxySettings(client=CLIENT, iptables="nft", backend="nftables")

    with pytest.raises(CannotGoOn, match="there is no kernel to ask"):
        await backend_of_this_node(settings, Env(commands=PaperNet()), FACTS)
