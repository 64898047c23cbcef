"""Real runners of functions, as processes of this machine, and the code that they are given."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
ENDED_S = 60.0


class Runner:
    """One instance: `python -m serverless.runtime`, on a port of loopback that the kernel chose."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "serverless.runtime", "--host", "127.0.0.1", "--port", "0"]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        # The kernel chose the port: nobody can take it in between.
        word, port = self.process.stdout.readline().split()
        assert word == "listening"
        self.address = f"127.0.0.1:{port}"

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(ENDED_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


HELLO = """
from serverless import Response

def action(req):
    print("called by", req.param("name", "nobody"))
    return Response("hello " + req.param("name", "world"))
"""
