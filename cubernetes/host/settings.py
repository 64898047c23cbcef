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


def read_known_settings[S: Settings](kind: type[S], path: Path) -> tuple[S, tuple[str, ...]]:
    """Return settings that a program wrote itself, maybe in another version of it.

    Fields that are not known any more are left out; their names are returned too.

    Raises:
        SettingsInvalid: as read_settings, but for unknown fields.
    """
    try:
        return read_settings(kind, path), ()
    except SettingsInvalid:
        tree = _tree_in(path)
        known = {field.encode_name for field in msgspec.structs.fields(kind)}
        if not isinstance(tree, dict) or not (unknown := sorted(tree.keys() - known)):
            raise
    kept = {name: value for name, value in tree.items() if name in known}
    try:
        return msgspec.convert(kept, kind), tuple(unknown)
    except msgspec.ValidationError as error:
        raise SettingsInvalid(f"{path}: {error}") from error


def _tree_in(path: Path) -> object:
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def settings_bytes(settings: Settings) -> bytes:
    """Return the file that read_settings reads: indented, in the order of the fields."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
