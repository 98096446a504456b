"""The directory as CSV: no formula goes out, all comes back, each mistake has its line."""

from __future__ import annotations

import csv
import io
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoint.app.csvtable import harmless, meant, read, written
from endpoint.app.directorycsv import COLUMNS, brought, column_of, exported
from endpoint.gateways.native import directorymessages as wire

pytestmark = pytest.mark.unit

FORMULAS = "=+-@\t\r＝＋－＠"
codes = st.text(string.ascii_letters + string.digits + "_.@-", min_size=1, max_size=8).map(
    "a".__add__
)
lines = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=12).map(str.strip)
names = st.one_of(
    lines, lines.map(lambda name: f"=cmd|'{name}"), st.sampled_from(["'", "''=1", "+1"])
)
departments = names.map(lambda name: name.replace(";", "")).filter(lambda name: bool(name.strip()))
levels = st.integers(1, 9)
seconds = st.floats(0, 600, allow_nan=False)
devices = st.text(string.ascii_letters + string.digits + "_.+#-", min_size=1, max_size=6)
agents = st.builds(
    wire.Agent,
    id=codes,
    name=names,
    department=st.one_of(st.just(""), departments.map(str.strip)),
    role=st.sampled_from(["agent", "monitor", "administrator"]),
    supervises=st.lists(departments.map(str.strip), max_size=3),
    skills=st.lists(st.builds(wire.SkillLevel, codes, levels), max_size=3),
    wrap_up_s=seconds,
    devices=st.lists(devices, max_size=3),
    enabled=st.booleans(),
    dials_for_skill=st.booleans(),
)
queues = st.builds(
    wire.QueueSettings,
    code=codes,
    name=names,
    skills=st.lists(st.builds(wire.SkillWanted, codes, levels), max_size=3),
    priority=levels,
    ring_s=seconds,
    no_answer=st.sampled_from(["leave", "next"]),
    no_answer_reason=st.one_of(st.just(""), codes),
    overflow=st.one_of(
        st.none(),
        st.builds(
            wire.Overflow,
            after_s=st.one_of(st.none(), st.floats(1, 99)),
            waiting=st.integers(1, 99),
            queue=codes,
        ),
    ),
    announce_wait=st.booleans(),
    most_waiting=st.one_of(st.none(), st.integers(1, 99)),
)
modes = st.builds(
    wire.WorkMode,
    code=st.integers(0, 9999),
    name=names,
    basic=st.sampled_from(["normal", "leave"]),
    position=st.integers(-99, 99),
    visible=st.booleans(),
)


def is_formula(cell: str) -> bool:
    """As a spreadsheet sees it."""
    return cell.lstrip(" \u00a0\u3000").startswith(tuple(FORMULAS))


def mistakes_of(kind: str, text: str) -> list[str]:
    """All that is said of a file."""
    return brought(kind, text.encode(), []).mistakes


@pytest.mark.parametrize(
    ("kind", "strategy"), [("agents", agents), ("queues", queues), ("modes", modes)]
)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])  # where the machine is busy
def test_what_goes_out_comes_back(
    data: st.DataObject, kind: str, strategy: st.SearchStrategy[wire.Entry]
) -> None:
    """Into an empty directory, and over what is there, whatever that is."""
    entries = data.draw(st.lists(strategy, max_size=3))
    file = exported(kind, entries)
    for known in ([], entries[::-1]):
        found = brought(kind, file, known)
        assert found.mistakes == []
        assert found.entries == entries
    cells = [each for row in csv.reader(io.StringIO(file.decode())) for each in row]
    assert not [each for each in cells if is_formula(each)]


@given(st.text())
def test_what_is_made_harmless_can_be_read_again(text: str) -> None:
    assert meant(harmless(text)) == text


@given(st.text(alphabet="'=+a \u3000-\t,;\"\n"))
def test_no_cell_begins_as_a_formula(text: str) -> None:
    """Neither after spaces, nor where quotes are taken away."""
    safe = harmless(text)
    assert not is_formula(safe)
    assert meant(safe) == text


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_table_comes_back_whatever_is_in_it(rows: list[tuple[str, str]]) -> None:
    rows = [each for each in rows if any(each)]
    clean = [tuple(c.encode(errors="replace").decode() for c in each) for each in rows]
    file = written(["one", "two"], [{"one": a, "two": b} for a, b in clean])
    assert [tuple(line.cells.values()) for line in read(file, ["one", "two"], [])] == clean


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_of_other_countries_are_read(separator: str) -> None:
    """With a byte-order mark, short lines, empty ones, and a separator of their own."""
    text = "\ufeffID,Name,Skills\r\n1001,Anna\r\n\r\n,,\r\n1002,Ben,sales".replace(",", separator)
    found = brought("agents", text.encode(), [])
    assert found.mistakes == []
    assert found.entries == [
        wire.Agent("1001", "Anna"),
        wire.Agent("1002", "Ben", skills=[wire.SkillLevel("sales")]),
    ]
    assert found.lines == [2, 5]


def test_a_column_that_is_not_there_leaves_things_as_they_are() -> None:
    """And an empty cell takes away."""
    anna = wire.Agent("1001", "Anna", "Sales", wrap_up_s=10, devices=["60*"])
    found = brought("agents", b"id,department,devices\n1001,Support,\n1002,,6001\n", [anna])
    assert found.entries == [
        wire.Agent("1001", "Anna", "Support", wrap_up_s=10),
        wire.Agent("1002", devices=["6001"]),
    ]
    queue = wire.QueueSettings("q", overflow=wire.Overflow(5, 3, "other"))
    found = brought("queues", b"code,overflow_waiting\nq,\n", [queue])
    assert found.entries == [wire.QueueSettings("q", overflow=wire.Overflow(5, None, "other"))]
    nothing = b"code,overflow_after_s,overflow_waiting,overflow_queue\nq,,,\n"
    assert brought("queues", nothing, [queue]).entries == [wire.QueueSettings("q")]


def test_passwords_are_read_and_never_shown() -> None:
    found = brought("agents", b"id,password\n1001, with spaces \n1002,\n", [])
    assert found.passwords == {"1001": " with spaces "}
    assert "with spaces" not in repr(found)
    assert "password" not in COLUMNS["agents"]


def test_all_mistakes_are_told_at_once_each_with_its_line_and_column() -> None:
    """A line goes on where a cell in quotes has several."""
    text = (
        "id,role,wrap_up_s,enabled,skills\n"
        '1001,"king\nof all",soon,perhaps,sales:x\n'
        "1002,king,,,\n"
        ",agent,,,\n"
        "1004,agent,,,sales:3\n"
    )
    assert mistakes_of("agents", text) == [
        "line 2, column wrap_up_s: found 'soon', expected a number, with a point",
        "line 2, column enabled: found 'perhaps', expected yes or no",
        "line 2, column skills: found 'sales:x', expected codes and levels, as sales:9; english:3",
        "line 2, column role: found 'king\\nof all', expected one of administrator, agent, monitor",
        "line 4, column role: found 'king', expected one of administrator, agent, monitor",
        "line 5, column id: found nothing, expected it",
    ]


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["line 1: found nothing, expected the columns code, name"]),
        ("code,age\n", ["line 1: found column 'age', expected one of code, name"]),
        ("code,code\n", ["line 1: found column code twice, expected it once"]),
        ("name\nx\n", ["line 1: found no column code, expected it"]),
        (
            "code,name\na,b,c\n",
            ["line 2: found 3 cells, expected 2: a cell with ',' in it stands in quotes"],
        ),
        (
            'code,name\na,"b\n',
            ["line 2: unexpected end of data; expected CSV, with quotes doubled"],
        ),
    ],
)
def test_what_is_no_table_is_refused(text: str, mistakes: list[str]) -> None:
    assert mistakes_of("skills", text) == mistakes


def test_another_encoding_is_told_by_its_line() -> None:
    found = brought("skills", "code\nJürgen\n".encode("latin-1"), [])
    assert found.mistakes == ["line 2: found another encoding, expected UTF-8"]


def test_what_is_wrong_with_the_table_hides_no_mistakes_of_its_lines() -> None:
    text = "id,colour,role,wrap_up_s\n1001,red,king,soon\n1002,blue,agent,1,x\n1003,,queen,\n"
    assert mistakes_of("agents", text) == [
        "line 1: found column 'colour', expected one of "
        + ", ".join([*COLUMNS["agents"], "password"]),
        "line 3: found 5 cells, expected 4: a cell with ',' in it stands in quotes",
        "line 2, column wrap_up_s: found 'soon', expected a number, with a point",
        "line 2, column role: found 'king', expected one of administrator, agent, monitor",
        "line 4, column role: found 'queen', expected one of administrator, agent, monitor",
    ]


@pytest.mark.parametrize(
    ("kind", "path", "column"),
    [
        ("agents", "$.agents[31].skills[2].level", "skills"),
        ("agents", "$.wrap_up_s", "wrap_up_s"),
        ("queues", "$.queues[0].overflow.queue", "overflow_queue"),
        ("queues", "$.queues[0].overflow", "overflow_after_s"),
    ],
)
def test_a_field_has_its_column(kind: str, path: str, column: str) -> None:
    assert column_of(kind, path) == column


def test_every_field_has_a_column() -> None:
    """But whether an agent has a password, which is told alone."""
    for kind, entry in wire.ENTRIES.items():
        fields = {column.field.partition(".")[0] for column in COLUMNS[kind].values()}
        assert fields == set(entry.__struct_fields__) - {"has_password"}
