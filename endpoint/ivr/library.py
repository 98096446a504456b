"""Where flows and what they play are found: the operator's directory, the flow's, what we ship."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from endpoint.audio.wav import read_wav
from endpoint.errors import AudioError
from endpoint.ivr import hashes, reading, speech
from endpoint.ivr.flow import PROMPTS, Collect, Flow, Menu, Play, Queue, Sound, Verify, sounds_of
from endpoint.ivr.places import Places
from endpoint.ivr.reading import FlowError, Mistake

SHIPPED = Path(__file__).parent
FLOWS = SHIPPED / "flows"
SOUNDS = SHIPPED / "sounds"


def shipped() -> list[str]:
    """The names of the flows that come with the program."""
    return sorted(path.stem for path in FLOWS.glob("*.toml") if path.stem != "passwords")


def file_of(flow: str) -> Path:
    """The file of a flow: one of the shipped ones by its name, else a path."""
    return FLOWS / f"{flow}.toml" if flow in shipped() else Path(flow)


@dataclass(frozen=True, slots=True)
class Place:
    """A flow's file, and the directory that is looked in first for what it names."""

    path: Path
    directory: Path | None = None
    language: str = "en"
    """Spoken in it; its sounds are taken before those of none (`zh/welcome.wav`)."""

    def find(self, name: str, language: str = "") -> Path | None:
        """The file that a flow names: a WAV file with or without its ending, or another one."""
        if not name:
            return None
        own = [] if (language or self.language) == "en" else [f"{language or self.language}/{name}"]
        places = [*([self.directory] if self.directory else []), self.path.parent, SOUNDS]
        for place in places:
            for path in (place / f"{each}{end}" for each in (*own, name) for end in ("", ".wav")):
                with suppress(OSError, ValueError):  # what can be no file's name
                    if path.is_file():
                        return path
        return None

    def files(self, sound: Sound) -> list[Path]:
        """What is played for a sound that is no tone; what is not there any more is left out."""
        language = sound.language or self.language
        names = [sound.file] if sound.file else []
        names += speech.digits(sound.digits, language) if sound.digits else []
        names += speech.number(sound.number, language) if sound.number else []
        names += speech.date(sound.date, language) if sound.date else []
        found = {name: self.find(name, language) for name in dict.fromkeys(names)}
        return [path for name in names if (path := found[name]) is not None]


def load(place: Place) -> Flow:
    """Read and check a flow, and what it names. Raises FlowError with every mistake."""
    file = place.path.name
    try:
        text = place.path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileNotFoundError):
            why += f"; expected a file, or one of {', '.join(shipped())}"
        raise FlowError([Mistake(str(place.path), 0, "", f"can't be read: {why}")]) from None
    flow = reading.read(text, file, place.find)
    lines = Places(text)
    mistakes = [
        Mistake(file, lines.line(("node", name, field)), f"node.{name}.{field}", why)
        for name, field, why in _unusable(flow, place)
    ]
    if mistakes:
        raise FlowError(mistakes)
    return flow


def _unusable(flow: Flow, place: Place) -> list[tuple[str, str, str]]:
    """Files that are there and can't be used: node, field, why."""
    found: list[tuple[str, str, str]] = []
    for name, node in flow.node.items():
        tried: list[tuple[str, str]] = []
        match node:
            case Play() | Menu() | Collect() | Queue():
                for field in PROMPTS:
                    sounds = sounds_of(getattr(node, field, ""))
                    tried += [
                        (field, _no_audio(place.find(each.file, each.language))) for each in sounds
                    ]
            case Verify(file=str(file)) if file:
                tried.append(("file", _no_hashes(place.find(file))))
            case _:
                pass
        if isinstance(node, Queue) and node.music:
            tried.append(("music", _no_audio(place.find(node.music))))
        found += [(name, field, why) for field, why in tried if why]
    return found


def _no_audio(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        sound = read_wav(path.read_bytes())
    except (OSError, AudioError) as error:
        return f"{path}: {error}, expected a WAV file"
    return "" if len(sound.samples) else f"{path}: expected a WAV file that is not empty"


def _no_hashes(path: Path | None) -> str:
    try:
        hashes_in(path)
    except ValueError as error:
        return f"{path}: {error}"
    return ""


def hashes_in(path: Path | None) -> dict[str, str]:
    """Hashes by their keys. Raises ValueError for what is no such file."""
    if path is None:
        return {}
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"expected TOML: {error}") from error
    wrong = [key for key, value in tree.items() if not hashes.is_hash(str(value))]
    if wrong:
        raise ValueError(f"{wrong[0]}: expected a hash, as agent-endpoint ivr hash makes them")
    return tree
