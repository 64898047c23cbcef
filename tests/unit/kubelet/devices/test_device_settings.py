"""What an administrator says of a node's devices: read strictly, refused by the field."""

from pathlib import Path

import pytest

from cubernetes.host.settings import SettingsInvalid
from kubelet.devices.driver import DeviceSettings, StandInDevice
from kubelet.devices.giving import settings_in


def test_a_file_says_the_devices_and_none_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "devices.json"
    assert settings_in(file) == DeviceSettings()
    file.write_text('{"fake": [{"id": "f0", "nodes": ["/dev/fuse"]}], "shares": {"x.io/n": 2}}')
    device = StandInDevice(id="f0", nodes=("/dev/fuse",))
    assert settings_in(file) == DeviceSettings(fake=(device,), shares={"x.io/n": 2})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"gpus": 2}', "unknown field `gpus`"),
        ('{"fake": 2}', "`$.fake`"),
        ('{"fake": [{"id": "a b"}]}', "`$.fake[0].id`"),
        ('{"fake": [{"id": "a,b"}]}', "`$.fake[0].id`"),
        ('{"fake": [{"id": "a"}, {"id": "a"}]}', "a stands there twice"),
        ('{"fake": [{"id": "a", "nodes": ["dev/x"]}]}', "`$.fake[0].nodes[0]`"),
        ('{"shares": {"nvidia.com/gpu": 0}}', "`$.shares[...]`"),
        ("{", "truncated"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "devices.json"
    file.write_text(text)
    with pytest.raises(SettingsInvalid) as refused:
        settings_in(file)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)
