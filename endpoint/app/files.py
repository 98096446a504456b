"""The files that settings name: where a relative path leads, and whether they can be used.

What reads certificates, audio and flows is imported at use: few configurations name them all.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from endpoint.app.agentsettings import FILE
from endpoint.app.ivrsettings import checked as checked_flow
from endpoint.app.recordingsettings import key_of
from endpoint.errors import AudioError, ConfigurationError
from endpoint.legs.soundchoice import SoundChoice
from endpoint.media import pjsip

Tree = dict[str, Any]
Mistake = tuple[str, str]
"""Key of a setting; what was found and what was expected."""

_RELATIVE_SQLITE = re.compile(r"(sqlite(?:\+aiosqlite)?:///)(?![/:])(.+)")


def anchored(model: type[BaseModel], tree: Tree, directory: Path) -> Tree:
    """What a file says, its relative paths gone by the directory that the file is in."""
    found = dict(tree)
    for name, field in model.model_fields.items():
        value = found.get(name)
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next(
            (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None
        )
        match value:
            case str() if Path in kinds and value:
                found[name] = str(directory / Path(value).expanduser())
            case str() if name in ("input", "output") and value.startswith(FILE) and value != FILE:
                found[name] = f"{FILE}{directory / Path(value.removeprefix(FILE)).expanduser()}"
            case str() if (sqlite := _RELATIVE_SQLITE.fullmatch(value)) and name == "url":
                found[name] = f"{sqlite[1]}{directory / sqlite[2]}"
            case str() if name == "flow" and value.endswith(".toml"):
                found[name] = str(directory / Path(value).expanduser())
            case dict() if inner is not None:
                found[name] = anchored(inner, value, directory)
            case list() if inner is not None:
                found[name] = [
                    anchored(inner, entry, directory) if isinstance(entry, dict) else entry
                    for entry in value
                ]
    return found


def unusable(tree: Tree) -> Iterator[Mistake]:
    """Every file that is named and can't be used, and what else is not on this machine.

    Reads settings as they were written, so that one mistake among them hides none of these.
    """
    http = tree.get("http")
    if isinstance(http, dict):
        yield from _certificate(http.get("certificate"), http.get("key"))
    sip = tree.get("sip")
    if isinstance(sip, dict):
        yield from _authority("sip.tls_ca", sip.get("tls_ca"))
        yield from _authority("sip.tls_client_ca", sip.get("tls_client_ca"))
    recordings = tree.get("recordings")
    if isinstance(recordings, dict):
        yield from _recordings_key(recordings.get("key_file"))
    for table in ("account", "agent"):
        for index, account in _tables(tree, table):
            key = f"{table}.{index}"
            yield from _password_file(f"{key}.password_file", account.get("password_file"))
            yield from _authority(f"{key}.ca", account.get("ca"))
            yield from _chain(key, account.get("certificate"), account.get("key"))
            if account.get("media_engine") == "pjsip" and (why := pjsip.missing()):
                yield f"{key}.media_engine", why
    for index, agent in _tables(tree, "agent"):
        said = str(agent.get("input"))
        if said.startswith(FILE):
            yield from _wav(f"agent.{index}.input", said.removeprefix(FILE))
    for index, ivr in _tables(tree, "ivr"):
        facts = (ivr.get("flow"), ivr.get("directory"), ivr.get("language"))
        yield from _flow(f"ivr.{index}.flow", *facts)
        yield from _directory(f"ivr.{index}.directory", ivr.get("directory"))
    for index, rule in _tables(tree, "recording"):
        yield from _wav(f"recording.{index}.announce", rule.get("announce"))
    for index, station in _tables(tree, "station"):
        if station.get("kind") == "file":
            yield from _wav(f"station.{index}.path", station.get("path"))
        spoken = station.get("input")
        if station.get("kind") == "sound" and isinstance(spoken, str):
            yield from _wav(f"station.{index}.input", SoundChoice(spoken).file)


def _tables(tree: Tree, name: str) -> Iterator[tuple[int, Tree]]:
    entries = tree.get(name)
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield index, entry


def _certificate(certificate: object, key: object) -> Iterator[Mistake]:
    if not (isinstance(certificate, str) and isinstance(key, str)):
        return
    from endpoint.app import certificates

    try:
        certificates.operators(Path(certificate), Path(key))
    except ConfigurationError as error:
        for mistake in error.mistakes:
            setting, _, text = mistake.partition(": ")
            yield setting, text


def _recordings_key(path: object) -> Iterator[Mistake]:
    if not isinstance(path, str):
        return
    try:
        key_of(Path(path))
    except ConfigurationError as error:
        for mistake in error.mistakes:
            setting, _, text = mistake.partition(": ")
            yield setting, text


def _password_file(key: str, path: object) -> Iterator[Mistake]:
    if not isinstance(path, str):
        return
    try:
        first = Path(path).read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        yield key, f"found {_tried(path, error)}, expected a text file with a password"
    else:
        if not first:
            yield key, f"found nothing in the first line of {_whole(path)}, expected a password"


def _authority(key: str, path: object) -> Iterator[Mistake]:
    if not isinstance(path, str):
        return
    from endpoint.app import certificates

    try:
        certificates.client_context(Path(path))
    except (OSError, ssl.SSLError) as error:
        yield key, f"found {_tried(path, error)}, expected a PEM file of a CA's certificate"


def _chain(key: str, certificate: object, private_key: object) -> Iterator[Mistake]:
    """What a client shows."""
    if not (isinstance(certificate, str) and isinstance(private_key, str)):
        return
    from signaling.transport.tls import client_context

    try:
        client_context(certificate=Path(certificate), key=Path(private_key))
    except (OSError, ssl.SSLError) as error:
        where = f"{_whole(certificate)} and {_whole(private_key)}"
        yield f"{key}.certificate", f"found {where} ({error}), expected a PEM chain and its key"


def _directory(key: str, path: object) -> Iterator[Mistake]:
    """One that is not there is passed over in silence by a call: its sounds are our own."""
    if isinstance(path, str) and not Path(path).is_dir():
        yield key, f"found {_whole(path)}, expected a directory that is there"


def _flow(key: str, flow: object, directory: object, language: object) -> Iterator[Mistake]:
    if not isinstance(flow, str):
        return
    from endpoint.ivr.reading import FlowError

    try:
        looked_in = Path(directory) if isinstance(directory, str) else None
        checked_flow(flow, looked_in, "zh" if language == "zh" else "en")
    except ValueError as error:
        yield key, str(error)
    except FlowError as error:
        for mistake in error.mistakes:
            yield key, str(mistake)


def _wav(key: str, path: object) -> Iterator[Mistake]:
    if not isinstance(path, str):
        return
    from endpoint.audio.wav import read_wav

    try:
        read_wav(Path(path).read_bytes())
    except (OSError, AudioError) as error:
        yield key, f"found {_tried(path, error)}, expected a WAV file"


def _tried(path: str, error: Exception) -> str:
    """The whole path, and what is wrong with it."""
    why: object = error
    if isinstance(error, ssl.SSLError):
        why = "it holds no certificate"
    elif isinstance(error, OSError):
        why = error.strerror or error
    elif isinstance(error, UnicodeDecodeError):
        why = "it is no text"
    return f"{_whole(path)} ({why})"


def _whole(path: str) -> str:
    return repr(str(Path(path).absolute()))
