"""Every mistake in a flow is told, at once, with its line."""

from __future__ import annotations

import msgspec
import pytest

from endpoint.ivr.flow import KINDS, Flow, kind_of, schema

from .flows import EVERY_KIND, flow, mistakes

pytestmark = pytest.mark.unit

END = '[node.end]\nkind = "hangup"\n'


def with_play(lines: str, head: str = "") -> str:
    return f'start = "a"\n{head}[node.a]\n{lines}\n{END}'


def test_a_flow_of_every_kind_is_read() -> None:
    read = flow(EVERY_KIND)
    assert {kind_of(node) for node in read.node.values()} == set(KINDS)
    assert msgspec.convert(msgspec.to_builtins(read), Flow) == read


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """start = "hello"
extra = 1
webhooks = ["https://crm.example.com"]

[node.a]
kind = "menu"
prompt = [
    "welcome",
    "nope", # is not there
]
choices = { 1 = "b", 12 = "c" }
timout_s = 3
no_input = "c"
invalid = "c"

[node.b]
kind = "colect"

[node.c]
kind = "collect"
prompt = { digits = "{Nothing}" }
into = "pin"
next = "a"
no_input = "a"
invalid = "a"
min_length = 9
max_length = 4
tries = 0
"""
    assert mistakes(text) == [
        "1: start: found 'hello', expected the name of a node",
        "2: extra: unknown key, expected one of start, node, title, expects, variables, webhooks",
        (
            "3: webhooks: 1.: found 'https://crm.example.com', expected http:// or https://, a "
            "host, and a path that ends with /"
        ),
        (
            "5: node.a: goes round for ever where the caller does nothing (a → c → a); expected "
            "this menu to lead on"
        ),
        "7: node.a.prompt: found 'nope', expected a WAV file that is there",
        (
            "11: node.a.choices: expected text that is one key: 0-9, *, #, A-D, which a key of it "
            "is not"
        ),
        "12: node.a.timout_s: unknown key, expected timeout_s?",
        (
            "17: node.b.kind: found 'colect', expected one of play, menu, collect, set, branch, "
            "webhook, verify, queue, transfer, return, hangup"
        ),
        (
            "21: node.c.prompt: unknown variable {Nothing}, expected one of the flow's; data of "
            "the call is named in expects"
        ),
        "26: node.c.min_length: found 9, expected max_length (4) at most",
        "28: node.c.tries: found 0, expected a whole number >= 1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("start = ", "1: expected TOML: Invalid value (at end of document)"),
        ('start = "a"', "1: node: expected nodes, each as [node.NAME] with a kind"),
        (
            'start = "a"\n[node]\na = 1',
            "3: node.a: expected a table, as [node.NAME]",
        ),
        (f'start = "end"\n[node."1 2"]\nkind = "hangup"\n{END}', "2: node.1 2: expected a name"),
        (with_play('kind = "play"\nnext = "end"'), "2: node.a: prompt: found nothing"),
        (
            with_play('kind = "queue"\nnobody = "end"\ntimeout = "end"'),
            "2: node.a: expected exactly one of queue and skill",
        ),
        (
            with_play(
                'kind = "queue"\nqueue = "q"\npriority = "10"\nnobody = "end"\ntimeout = "end"'
            ),
            "5: node.a.priority: found '10', expected 0 to 9, or a variable",
        ),
        (
            with_play(
                'kind = "queue"\nqueue = "q"\nannounce = "nope"\nnobody = "end"\ntimeout = "end"'
            ),
            "5: node.a.announce: found 'nope', expected a WAV file that is there",
        ),
        (with_play('kind = "play"\nprompt = ""\nnext = "end"'), "4: node.a.prompt: found nothing"),
        (
            with_play('kind = "play"\nprompt = "welcome"\nnext = "ende"'),
            "5: node.a.next: found 'ende', expected end?",
        ),
        (
            with_play('kind = "play"\nprompt = { ms = 3, digits = "1" }\nnext = "end"'),
            "4: node.a.prompt: found digits and ms, expected one of",
        ),
        (
            with_play('kind = "play"\nprompt = { tone_hz = [440] }\nnext = "end"'),
            "4: node.a.prompt: found ",
        ),
        (
            with_play('kind = "play"\nprompt = { digits = "{OderID}" }\nnext = "end"',
                      'expects = ["OrderID"]\n'),
            "5: node.a.prompt: unknown variable {OderID}, expected OrderID?",
        ),
        (with_play('kind = "hangup"'), "4: node.end: no way leads here from start"),
        (
            with_play('kind = "set"\nvalues = { x = "1" }\nnext = "a"'),
            "2: node.a: goes round for ever where the caller does nothing (a → a)",
        ),
        (
            with_play(
                'kind = "webhook"\nurl = "https://evil.example/"\nnext = "end"\non_failure = "end"',
                'webhooks = ["https://crm.example/"]\n',
            ),
            "5: node.a.url: found 'https://evil.example/', expected what begins as one of",
        ),
        (
            with_play(
                'kind = "webhook"\nurl = "http://{caller}.example/"\nnext = "end"\n'
                'on_failure = "end"',
                'webhooks = ["http://crm.example/"]\n',
            ),
            "5: node.a.url: found 'http://{caller}.example/', expected what begins as",
        ),
        (
            with_play(
                'kind = "verify"\nsecret = "pin"\nnext = "end"\nagain = "end"\n'
                'wrong = "end"'
            ),
            "2: node.a: expected exactly one of hash and file",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told(text: str, expected: str) -> None:
    assert any(each.startswith(expected) for each in mistakes(text)), mistakes(text)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ('kind = "set"\nvalues = { x = "{pin}" }\nnext = "end"', "values.x: {pin} is secret"),
        (
            'kind = "branch"\non = "{pin}"\ncases = { 1 = "end" }\notherwise = "end"',
            "on: {pin} is secret",
        ),
        ('kind = "transfer"\nto = "{pin}"\nfailed = "end"', "to: {pin} is secret"),
        ('kind = "play"\nprompt = { digits = "{pin}" }\nnext = "end"', "prompt: {pin} is secret"),
        (
            (
                'kind = "webhook"\nurl = "https://a.example/"\nsend = ["pin"]\nnext = "end"\n'
                'on_failure = "end"'
            ),
            "send: pin is secret: put it into secrets",
        ),
        (
            (
                'kind = "webhook"\nurl = "http://b.example/"\nsecrets = ["pin"]\nnext = "end"\n'
                'on_failure = "end"'
            ),
            "url: found 'http://b.example/', expected https: secrets go there",
        ),
        (
            (
                'kind = "collect"\nprompt = "welcome"\ninto = "pin"\nnext = "end"\n'
                'no_input = "end"\ninvalid = "end"'
            ),
            "node: pin is secret at one node and not at another",
        ),
    ],
)
def test_a_secret_goes_nowhere(use: str, expected: str) -> None:
    text = (
        'start = "ask"\nwebhooks = ["https://a.example/", "http://b.example/"]\n'
        '[node.ask]\nkind = "collect"\nprompt = "welcome"\ninto = "pin"\nsecret = true\n'
        f'next = "use"\nno_input = "end"\ninvalid = "end"\n[node.use]\n{use}\n{END}'
    )
    assert any(expected in each for each in mistakes(text)), mistakes(text)


def test_the_schema_knows_every_kind_and_key() -> None:
    definitions = schema()["$defs"]
    for kind, made in KINDS.items():
        known = definitions[made.__name__]["properties"]
        assert known["kind"]["enum"] == [kind]
        assert set(known) == {field.name for field in msgspec.structs.fields(made)} | {"kind"}
    assert "\\Z" not in str(schema())


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000], ids=["deep", "long"])
def test_a_file_beyond_all_measure_is_a_mistake_like_another(value: str) -> None:
    (mistake,) = mistakes(f"start = {value}")
    assert mistake.startswith("1: expected TOML")
