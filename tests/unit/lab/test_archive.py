"""Archives are read for the names and the identity that Docker will give to their images."""

from pathlib import Path

import pytest

from images.build import Entry, Image, archive_of
from lab.archive import NoImages, archives_in


def test_an_archive_knows_its_tags_and_the_identity_of_its_image(tmp_path: Path) -> None:
    for name in ("web", "pause"):
        image = Image(name, (), lambda: [Entry("file", b"x")])
        (tmp_path / f"{name}.tar").write_bytes(archive_of(image))

    pause, web = archives_in(tmp_path)

    assert (pause.tags, web.tags) == (("cubernetes/pause:1",), ("cubernetes/web:1",))
    assert web.image_id.startswith("sha256:")
    assert len(web.image_id) == len("sha256:") + 64


def test_an_empty_folder_names_the_script_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(NoImages, match="scripts/build-images"):
        archives_in(tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"not a tar")

    with pytest.raises(NoImages, match=r"bad\.tar is not an archive"):
        archives_in(tmp_path)
