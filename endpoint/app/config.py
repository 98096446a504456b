"""Where the configuration comes from: one TOML file, then the environment, then defaults.

The file is the first of: `--config`, `$AGENT_ENDPOINT_CONFIG`, `./agent-endpoint.toml`,
`$XDG_CONFIG_HOME/agent-endpoint/config.toml`, `/etc/agent-endpoint/config.toml`. A variable
`AGENT_ENDPOINT_SECTION__KEY` goes over the file's `[section] key`; lists are written as JSON.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from endpoint.app.files import Tree, anchored, unusable
from endpoint.app.mistakes import hangs_on, json_for, mistake, place, resembling, shown
from endpoint.app.oldkeys import renewed
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError

PREFIX = "AGENT_ENDPOINT_"
FILE_VARIABLE = PREFIX + "CONFIG"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where it came from."""

    config: Config
    path: Path | None
    """The file that was read; None where there is none."""
    origins: Mapping[str, str]
    """Dotted key to the file's path or the variable's name; a key that is not here is a default."""
    warnings: tuple[str, ...] = ()
    """Keys of earlier versions that were taken under their new names."""


@dataclass(frozen=True, slots=True)
class Value:
    """One effective value, for `config show`."""

    key: str
    value: object
    """Plain data; secrets are masked."""
    origin: str


class _FromEnvironment(Config, BaseSettings):
    """The same fields, read from variables by pydantic-settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )


def search_path(environ: Mapping[str, str]) -> list[Path]:
    """Where a file is looked for when none is named, in order."""
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return [
        Path("agent-endpoint.toml"),
        Path(home).expanduser() / "agent-endpoint" / "config.toml",
        Path("/etc/agent-endpoint/config.toml"),
    ]


def find_file(named: Path | None = None) -> Path | None:
    """The configuration file. Raises `ConfigurationError` when one was named that is not there."""
    variable = os.environ.get(FILE_VARIABLE)
    for path, by in ((named, "--config"), (Path(variable) if variable else None, FILE_VARIABLE)):
        if path is None:
            continue
        if not path.is_file():
            raise ConfigurationError([f"{by}: found {str(path)!r}, expected a file that is there"])
        return path
    return next((path for path in search_path(os.environ) if path.is_file()), None)


def load(named: Path | None = None, *, files: bool = False) -> Loaded:
    """Read file and environment; with `files`, also try every file that they name.

    A relative path in the file goes by the file's directory, one in a variable by the working
    directory. Raises `ConfigurationError` with every mistake in them at once.
    """
    path = find_file(named)
    mistakes: list[str] = []
    unread: list[str] = []
    written = _read_file(path, mistakes) if path else {}
    if mistakes:
        unread.append("")
    if path:
        written = anchored(Config, written, path.absolute().parent)
    set_, variables = _read_environment(mistakes, unread)
    origins = {key: str(path) for key, _ in _leaves(written)} | variables
    warnings: list[str] = []
    effective = renewed(_over(written, set_), origins, mistakes, warnings)
    if files:
        mistakes += [f"{key}{place(key, origins)}: {text}" for key, text in unusable(effective)]
    try:
        config = Config.model_validate(effective)
    except ValidationError as error:
        mistakes += [
            mistake(Config, fault, origins)
            for fault in error.errors()
            if not hangs_on(fault, unread)
        ]
        raise ConfigurationError(mistakes) from None
    if mistakes:
        raise ConfigurationError(mistakes)
    return Loaded(config, path, origins, tuple(warnings))


def values(loaded: Loaded) -> list[Value]:
    """Every effective value with its origin, in the order of the model; secrets masked."""
    return [
        Value(key, plain, _origin(key, loaded.origins))
        for key, plain in _leaves(_plain(loaded.config))
    ]


def _origin(key: str, origins: Mapping[str, str]) -> str:
    section, _, name = key.rpartition(".")
    if key in origins:
        return origins[key]
    if section in ("http", "sip", "media") and name in origins:
        return f"{name}, {origins[name]}"
    return "default"


def _plain(value: object) -> Any:
    """A setting as plain data. A secret shows that it is set, nothing of what it is."""
    match value:
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case list():
            return [_plain(entry) for entry in value]
        case SecretStr():
            return "********"
        case Path():
            return str(value)
        case _:
            return value


def _leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a nested mapping; tables in a list are numbered from 0."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        match value:
            case dict():
                yield from _leaves(value, key + ".")
            case [dict(), *_]:
                for index, entry in enumerate(value):
                    yield from _leaves(entry, f"{key}.{index}.")
            case _:
                yield key, value


def _over(below: Tree, above: Tree) -> Tree:
    """`above` laid over `below`, table by table."""
    merged = dict(below)
    for name, value in above.items():
        lower = merged.get(name)
        if isinstance(value, dict) and isinstance(lower, dict):
            merged[name] = _over(lower, value)
        else:
            merged[name] = value
    return merged


def _read_file(path: Path, mistakes: list[str]) -> Tree:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        mistakes.append(f"{path}: can't be read: {error.strerror}")
    except UnicodeDecodeError as error:
        mistakes.append(f"{path}: expected TOML: {error}")
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"{path}: expected TOML: {error}{_hint(path, error)}")
    return {}


def _hint(path: Path, error: tomllib.TOMLDecodeError) -> str:
    """What to do where tomllib only says that a list in brackets is closed already."""
    place = re.search(r"line (\d+)", str(error))
    if "immutable namespace" not in str(error) or not place:
        return ""
    line = path.read_text(encoding="utf-8").splitlines()[int(place[1]) - 1]
    name = line.split("#")[0].strip(" \t[]")
    return f"; {name} is written in two ways: write all as [[{name}]], or all as {name} = [{{…}}]"


def _read_environment(mistakes: list[str], unread: list[str]) -> tuple[Tree, dict[str, str]]:
    """What the variables say, and which variable says it; `unread` are keys that none can tell."""
    names: dict[str, str] = {}
    tree: Tree = {}
    for variable in sorted(os.environ):
        if not variable.upper().startswith(PREFIX) or variable.upper() == FILE_VARIABLE:
            continue
        key = variable[len(PREFIX) :].lower().replace("__", ".")
        section = key.split(".")[0]
        if section not in Config.model_fields:
            mistakes.append(
                f"{variable}: unknown variable{resembling(section, Config.model_fields)}"
            )
            continue
        try:
            tree = _over(tree, _said_by(variable))
            names[key] = variable
        except SettingsError:
            unread.append(key)
            found = shown(key, os.environ[variable])
            mistakes.append(f"{variable}: found {found}, expected {json_for(Config, key)}")
    return tree, names


def _said_by(variable: str) -> Tree:
    """What one variable says. Raises SettingsError where it should be JSON and is not."""
    source = EnvSettingsSource(_FromEnvironment)
    source.env_vars = {variable.lower(): os.environ[variable]}
    return source()
