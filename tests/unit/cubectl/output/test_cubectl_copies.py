"""How far a copy is: told on a terminal, where it takes long."""

import io

import pytest

from cubectl.output.progress import EVERY_S, FIRST_S, Progress, counted, size_text


class Screen(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class Watch:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_long_copy_is_told_now_and_then_and_the_line_goes() -> None:
    screen, watch = Screen(is_terminal=True), Watch()
    progress = Progress(screen, watch, "movie")
    file = counted(io.BytesIO(b"x" * 4_000_000), progress)

    file.read(1024 * 1024)
    assert screen.getvalue() == "", "what is short is not told"
    watch.now_s += FIRST_S
    file.read(1024 * 1024)
    assert screen.getvalue() == "\rmovie: 2.0 MiB, 2.0 MiB/s"
    file.read(10)
    assert screen.getvalue().count("\r") == 1, "not for every piece"
    watch.now_s += EVERY_S
    file.read(1024 * 1024)
    assert screen.getvalue().endswith("\rmovie: 3.0 MiB, 2.5 MiB/s")

    progress.end()
    assert screen.getvalue().endswith("\r" + " " * 25 + "\r")


def test_where_nobody_looks_nothing_is_told() -> None:
    screen, watch = Screen(is_terminal=False), Watch()
    progress = Progress(screen, watch, "movie")
    target = io.BytesIO()
    watch.now_s += 60

    counted(target, progress).write(b"abc")
    progress.end()

    assert (target.getvalue(), screen.getvalue()) == (b"abc", "")


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0.0 KiB"), (999 * 1024, "999.0 KiB"), (1000 * 1024, "1.0 MiB"), (5 << 30, "5.0 GiB"),
     (5 << 50, "5120.0 TiB")],
)  # fmt: skip
def test_sizes_are_read_by_people(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
