"""Settings: one frozen type per program, read once from one JSON file, refused when wrong."""

from pathlib import Path

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a program's settings.py derives from: fields with units in their names and defaults."""


class SettingsInvalid(Exception):
    """The file is missing, is not JSON, or has a field that its program does not know."""


def read_settings[S: Settings](kind: type[S], path: Path) -> S:
    """Return the settings of type kind in the JSON file at path.

    Raises:
        SettingsInvalid: says the file, the field and what it should be.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SettingsInvalid(f"{path}: {error}") from error


def settings_bytes(settings: Settings) -> bytes:
    """Return the file that read_settings reads: indented, in the order of the fields."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
