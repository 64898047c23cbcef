"""The version of what is installed, as pyproject.toml says it."""

from importlib.metadata import version

VERSION = version("cubernetes")
