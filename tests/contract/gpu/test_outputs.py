"""Who is told what jobs have written elsewhere, and until when."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from cubernetes.api.errors import ServiceUnavailable
from tests.contract.gpu.outputways import NeverEnds, told_outputs
from tests.contract.gpu.slurm_worlds import PaperSlurmWorld, paper_slurm_world


@pytest.fixture
async def paper() -> AsyncIterator[PaperSlurmWorld]:
    async with paper_slurm_world() as world:
        yield cast(PaperSlurmWorld, world)


async def test_nobody_but_the_api_server_is_told_an_output(
    paper: PaperSlurmWorld, tmp_path: Path
) -> None:
    async with told_outputs(tmp_path, await paper.site(), paper.driver, client="n1") as way:
        with pytest.raises(ServiceUnavailable, match="only system:apiserver may ask"):
            await way.jobs.open("/output/a/00-1/out", "follow=false&offset=0")


async def test_followers_of_what_a_site_has_lost_are_let_go(
    paper: PaperSlurmWorld, tmp_path: Path
) -> None:
    """Such a site never says that the output has ended."""
    async with told_outputs(tmp_path, await paper.site(), NeverEnds(), quiet_s=0.05) as way:
        pieces = await way.jobs.open("/output/a/00-1/out", "follow=true&offset=0")
        assert await anext(pieces) == b"words\n"
        way.is_ended = True
        assert [piece async for piece in pieces] == []
