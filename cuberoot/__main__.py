"""`python -m cuberoot`."""

from cuberoot.cli import main

main(prog_name="cuberoot")
