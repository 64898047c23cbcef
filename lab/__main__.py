"""`python -m lab`: the same verbs as `cuberoot lab`."""

from lab.cli import lab

lab(prog_name="lab")
