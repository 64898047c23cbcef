"""The settings that we show are settings that we read; what is unknown in them is refused."""

from pathlib import Path

import pytest

from cubernetes.host.settings import SettingsInvalid, read_settings
from tsdb.settings import TsdbSettings

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "tsdb" / "settings.json"


def test_the_example_is_read() -> None:
    settings = read_settings(TsdbSettings, EXAMPLE)

    assert settings.limits.series == 200_000
    assert [job.name for job in settings.scrape] == ["tsdb", "nodes"]
    assert settings.fsync_interval_s == 0


def test_the_example_for_a_cluster_follows_every_program_of_a_control_plane() -> None:
    settings = read_settings(TsdbSettings, EXAMPLE.parent / "cluster.json")

    programs = [
        group.labels.get("program", job.name) for job in settings.scrape for group in job.groups
    ]
    assert programs == ["apiserver", "scheduler", "controllers", "kubelet", "proxy", "resolver"]


@pytest.mark.parametrize(
    "text", ["{}", '{"data_dir": "x", "prot": 1}', '{"data_dir": "x", "limits": {"serie": 1}}', "x"]
)
def test_what_is_wrong_in_a_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tsdb.json"
    file.write_text(text)

    with pytest.raises(SettingsInvalid):
        read_settings(TsdbSettings, file)
