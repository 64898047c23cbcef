"""Log lines: whoever writes one is never behind whoever reads it."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from cubernetes.host.log import DROPPED, FACTS, UNWRITTEN, Aside, JsonLines, Log, log_to_file


def a_record(sentence: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, "", 0, sentence, (), None)


def test_a_reader_who_stands_still_holds_up_no_writer_and_learns_how_much_it_missed() -> None:
    reading, writing = os.pipe()
    lines: list[str] = []
    with os.fdopen(reading) as reader:
        with os.fdopen(writing, "w") as stream:
            handler = Aside(stream, lines_max=10)
            # More than the pipe takes: the first of these that is written blocks in the kernel.
            for number in range(100):
                handler.emit(a_record(f"{number} " + "x" * 100_000))
            reads = threading.Thread(target=lambda: lines.extend(reader))
            reads.start()
            handler.flush()
            handler.emit(a_record("last"))
            handler.flush()
        reads.join()
    told = [json.loads(line)["count"] for line in lines if DROPPED in line]
    assert len(lines) - len(told) + sum(told) == 101
    assert sum(told) >= 100 - 10 - 1


class Gated:
    """A stream whose writes wait until the test opens it."""

    def __init__(self) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.begun.set()
        self.opened.wait()
        self.texts.append(text)

    def flush(self) -> None:
        pass


def test_lines_that_come_during_a_write_are_one_write_and_keep_their_order() -> None:
    stream = Gated()
    handler = Aside(stream)
    handler.emit(a_record("first"))
    stream.begun.wait(60)
    for number in range(100):
        handler.emit(a_record(f"{number}"))
    stream.opened.set()
    handler.flush()
    assert stream.texts == ["first\n", "".join(f"{number}\n" for number in range(100))]


def test_lines_are_gathered_until_somebody_waits_for_them() -> None:
    stream = Gated()
    stream.opened.set()
    handler = Aside(stream, gather_s=3600)
    for number in range(3):
        handler.emit(a_record(f"{number}"))
    handler.flush()
    assert stream.texts == ["0\n1\n2\n"]


def test_the_last_words_of_a_program_are_written_before_it_ends() -> None:
    program = (
        "from cubernetes.host.log import Log, log_to_stderr\n"
        "log_to_stderr()\n"
        "[Log('test').info('said', number=number) for number in range(500)]\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    numbers = [json.loads(line)["number"] for line in ended.stderr.splitlines()]
    assert numbers == list(range(500))


def test_a_log_of_its_own_stays_small_and_keeps_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "strangers.log"
    log_to_file("strangers.test", path, bytes_max=2000)
    log = Log("strangers.test")
    logger = logging.getLogger("strangers.test")
    logger.setLevel(logging.INFO)
    for number in range(200):
        log.info("request", number=number)
    logger.handlers[0].flush()
    kept = [path.with_name("strangers.log.1"), path]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert all(one.stat().st_size <= 2000 for one in kept)
    lines = [json.loads(line) for one in kept for line in one.read_text().splitlines()]
    numbers = [line["number"] for line in lines]
    assert numbers == list(range(numbers[0], 200))
    assert not logger.propagate


class Wordless:
    def __str__(self) -> str:
        raise ValueError("nothing to say")


def test_a_line_that_cannot_be_made_is_told_of_and_ends_nobodys_work() -> None:
    stream = io.StringIO()
    handler = Aside(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("lines.test")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("%d things", "many")
    logger.warning("said", extra={FACTS: {"fact": Wordless()}})
    logger.warning("said")
    handler.flush()
    lines = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert lines == [UNWRITTEN, UNWRITTEN, "said"]
