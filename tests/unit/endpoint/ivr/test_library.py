"""Shipped flows and sounds, and those of an operator."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from endpoint.audio.wav import read_wav
from endpoint.ivr import drawing, hashes, library, speech
from endpoint.ivr.flow import Language, Sound
from endpoint.ivr.library import SOUNDS, Place
from endpoint.ivr.places import Places
from endpoint.ivr.reading import FlowError

from .flows import EVERY_KIND, flow

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", library.shipped())
def test_a_shipped_flow_has_no_mistake_and_can_be_drawn(name: str) -> None:
    made = library.load(Place(library.file_of(name)))
    assert made.title
    for picture in (drawing.drawn(made), drawing.mermaid(made)):
        assert all(node in picture for node in made.node)


def test_the_flows_of_the_seed_are_shipped() -> None:
    assert library.shipped() == ["distributors", "password", "survey", "welcome"]


@pytest.mark.parametrize("language", speech.LANGUAGES)
def test_every_word_that_may_be_spoken_is_there(language: Language) -> None:
    of = Place(Path("x.toml"), language=language)
    for word in speech.all_words(language):
        found = of.find(word)
        assert found is not None, word
        assert (found.parts[-3] == language) == (language != "en"), word
        assert len(read_wav(found.read_bytes()).samples) > 800, word
    numbers = [*map(str, range(3000)), *(str(n) for n in range(1_000_000) if n % 997 < 3)]
    spoken = {word for text in numbers for word in speech.number(text, language)}
    spoken |= {word for key in "*#abcdABCD1" for word in speech.digits(key, language)}
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    spoken |= {word for day in days for word in speech.date(day, language)}
    spoken |= set(speech.number("-1.5", language))
    assert spoken == set(speech.all_words(language))


def test_every_shipped_sound_is_there_in_each_language() -> None:
    plain, zh = ({path.name for path in of.glob("*.wav")} for of in (SOUNDS, SOUNDS / "zh"))
    assert plain == zh


def test_a_language_is_a_directory_of_sounds_and_the_operator_s_come_first(tmp_path: Path) -> None:
    place = Place(tmp_path / "flow.toml", tmp_path / "ours", "zh")
    assert place.find("welcome") == SOUNDS / "zh" / "welcome.wav"
    assert place.find("welcome", "en") == SOUNDS / "welcome.wav"
    (tmp_path / "ours" / "zh").mkdir(parents=True)
    for file in ("ours/welcome.wav", "ours/zh/hello.wav"):
        (tmp_path / file).write_bytes((SOUNDS / "goodbye.wav").read_bytes())
    assert place.find("welcome") == tmp_path / "ours" / "welcome.wav"
    text = EVERY_KIND.replace('"welcome"', '{ file = "hello", language = "zh" }')
    (tmp_path / "flow.toml").write_text(text)
    assert library.load(replace(place, language="en"))
    spoken = place.files(Sound(digits="10"))
    assert [path.relative_to(SOUNDS).as_posix() for path in spoken] == [
        "zh/digits/yao.wav",
        "zh/digits/0.wav",
    ]
    assert place.files(Sound(digits="1", language="en")) == [SOUNDS / "digits" / "1.wav"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "0"),
        ("10", "10"),
        ("12", "10 2"),
        ("20", "2 10"),
        ("110", "1 hundred 1 10"),
        ("102", "1 hundred 0 2"),
        ("222", "2 hundred 2 10 2"),
        ("1005", "1 thousand 0 5"),
        ("1050", "1 thousand 0 5 10"),
        ("2012", "liang thousand 0 1 10 2"),
        ("10000", "1 ten_thousand"),
        ("20003", "liang ten_thousand 0 3"),
        ("120000", "10 2 ten_thousand"),
        ("100010", "10 ten_thousand 0 1 10"),
        ("999999", "9 10 9 ten_thousand 9 thousand 9 hundred 9 10 9"),
        ("-3.14", "minus 3 point 1 4"),
        ("1000001", "yao 0 0 0 0 0 yao"),
    ],
)
def test_a_number_is_spoken_in_mandarin(text: str, words: str) -> None:
    assert speech.number(text, "zh") == [f"digits/{word}" for word in words.split()]


@pytest.mark.parametrize(
    ("text", "english", "mandarin"),
    [
        ("2026-12-25", "december 20 5 20 20 6", "2 0 2 6 year 10 2 month 2 10 5 day"),
        ("2005-03-01", "march 1 2 thousand 5", "2 0 0 5 year 3 month 1 day"),
        ("1999-10-11T09:00", "october 11 19 90 9", "1 9 9 9 year 10 month 10 1 day"),
        ("2026-02-30", "2 0 2 6 0 2 3 0", "2 0 2 6 0 2 3 0"),
        ("", "", ""),
    ],
)
def test_a_day_is_spoken(text: str, english: str, mandarin: str) -> None:
    for language, words in (("en", english), ("zh", mandarin)):
        assert speech.date(text, language) == [f"digits/{word}" for word in words.split()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "0"),
        ("14", "14"),
        ("21", "20 1"),
        ("100", "1 hundred"),
        ("1021", "1 thousand 20 1"),
        ("999999", "9 hundred 90 9 thousand 9 hundred 90 9"),
        ("1000000", "1 0 0 0 0 0 0"),
        ("x7#", "7 pound"),
        ("000021", "20 1"),
        ("-0", "minus 0"),
        ("12.50", "12 point 5 0"),
        ("9" * 5000, " ".join(["9"] * 5000)),
        ("", ""),
    ],
)
def test_a_number_is_spoken(text: str, words: str) -> None:
    assert speech.number(text) == [f"digits/{word}" for word in words.split()]


def test_what_the_operator_gives_comes_before_what_is_shipped(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    beside, better = tmp_path / "rate.wav", own / "welcome.wav"
    for path in (beside, better):
        path.write_bytes((SOUNDS / "goodbye.wav").read_bytes())
    place = Place(tmp_path / "flow.toml", own)
    assert place.find("welcome") == better
    assert place.find("rate") == place.find("rate.wav") == beside
    assert place.find("thanks") == SOUNDS / "thanks.wav"
    assert place.find("nothing") is None
    assert place.files(Sound(number="20")) == [SOUNDS / "digits" / "20.wav"]


@pytest.mark.parametrize(
    ("name", "octets", "expected"),
    [
        ("welcome.wav", b"no WAV", "node.welcome.prompt: {}: not a WAV file, expected a WAV file"),
        ("passwords.toml", b"a = 1", "node.check.file: {}: a: expected a hash"),
        ("passwords.toml", b"=", "node.check.file: {}: expected TOML"),
    ],
)
def test_a_file_that_is_no_use_is_told(
    tmp_path: Path, name: str, octets: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(octets)
    flows = library.file_of("password" if "password" in name else "welcome")
    with pytest.raises(FlowError) as caught:
        library.load(Place(flows, tmp_path))
    (mistake,) = caught.value.mistakes
    assert f"{mistake.field}: {mistake.text}".startswith(expected.format(tmp_path / name))
    assert mistake.line > 1


def test_a_flow_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        FlowError, match=r"can't be read: No such file.*; expected a file, or one of .*survey"
    ):
        library.load(Place(tmp_path / "none.toml"))


def test_a_hash_is_of_its_secret_alone() -> None:
    made = hashes.make("4711#")
    assert hashes.is_hash(made)
    assert hashes.matches("4711#", made)
    assert not hashes.matches("4711", made)
    assert made != hashes.make("4711#")


@pytest.mark.parametrize(
    "text",
    ["", "4711", "$scrypt$ln=30,r=8,p=1$AAAA$BBBBBBBBBBBBBBBBBBBBBBBB", "$scrypt$ln=1,r=1,p=1$A$"],
)
def test_what_is_no_hash_is_of_none(text: str) -> None:
    assert not hashes.is_hash(text)
    assert not hashes.matches("", text)


def test_a_picture_begins_at_the_start_and_says_where_each_node_leads() -> None:
    made = flow(EVERY_KIND)
    lines = drawing.drawn(made).splitlines()
    assert lines[:2] == [
        "▶ hello (play) welcome, silence 100 ms, say {OrderID}, say 12",
        "      next → menu",
    ]
    assert '    n_menu -->|"3"| n_queue' in drawing.mermaid(made)


def test_lines_are_found_among_values_of_several_lines() -> None:
    first = 'a = """\n[node.b]\nb = 1\n"""\n[t."x y".z]\n'
    text = first + 'list = [\n  1, # ]\n  "]",\n]\nlast = 2\nu.v = 3\n'
    places = Places(text)
    assert [places.line(path.split("/")) for path in ("a", "t/x y/z/list", "t/x y/z/last")] == [
        1,
        6,
        10,
    ]
    assert places.line(["t", "x y", "z", "u", "v"]) == 11
    assert places.line(["t", "x y", "nothing"]) == 5
    assert places.line(["node", "b"]) == 1


def test_lines_of_shipped_flows_are_those_of_their_nodes() -> None:
    for name in library.shipped():
        text = library.file_of(name).read_text()
        places, lines = Places(text), text.splitlines()
        nodes = library.load(Place(library.file_of(name))).node
        for node in random.Random(1).sample(sorted(nodes), 3):
            assert lines[places.line(["node", node]) - 1] == f"[node.{node}]"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "x/" * 3000], ids=["no text", "long", "deep"])
def test_a_name_that_no_file_can_have_is_a_mistake_like_another(name: str) -> None:
    with pytest.raises(FlowError, match="expected a WAV file that is there"):
        flow(EVERY_KIND.replace('"enter_password"', f'"{name}"').replace("\0", "\\u0000"))


def test_a_file_of_hashes_beyond_all_measure_is_no_such_file(tmp_path: Path) -> None:
    file = tmp_path / "hashes.toml"
    for text in ("x = " + "[" * 5000, "x = " + "9" * 5000):
        file.write_text(text)
        with pytest.raises(ValueError, match="expected TOML"):
            library.hashes_in(file)
