"""`docs/ivr.md` lists nodes and their keys from the source: `python -m` this module writes it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from endpoint.ivr.flow import GIVEN, KINDS, Flow, Sound
from endpoint.ivr.library import Place, load
from endpoint.ivr.reading import FlowError

from .flows import mistakes

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).parents[4] / "docs" / "ivr.md"
BEGIN, END = "<!-- nodes: begin -->\n", "<!-- nodes: end -->"
WORDS = {
    "Prompt": "prompt",
    "Target": "node",
    "Variable": "variable",
    "Wait": "seconds",
    "Tries": "1 to 10",
    "Length": "1 to 64",
    "bool": "true, false",
}


def said(made: type[msgspec.Struct]) -> dict[str, tuple[str, str]]:
    """For each field: its kind as the source has it, and what stands below."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(made))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, tuple[str, str]] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name), annotation=kind),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = ast.unparse(kind), " ".join(text.split())
    return found


def default(field: Any) -> str:
    if field.required:
        return "*needed*"
    given = field.default
    if given is msgspec.NODEFAULT or given in ("", None):
        return ""
    return f"`{msgspec.json.encode(given).decode()}`"


def table(made: type[msgspec.Struct], title: str) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield " ".join((inspect.getdoc(made) or "").split()) + "\n"
    fields = msgspec.structs.fields(made)
    texts = said(made)
    assert {field.name for field in fields} == set(texts), made
    if fields:
        yield "| key | default | |\n|---|---|---|"
    for field in fields:
        kind, text = texts[field.name]
        word = WORDS.get(kind, "")
        yield f"| `{field.name}` | {default(field)} | {f'({word}) ' if word else ''}{text} |"


def nodes() -> str:
    lines = list(table(Flow, "The file"))
    lines += ["\nVariables that are always there:\n", "| variable | |\n|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in GIVEN.items()]
    lines += table(Sound, "A part of a prompt")
    for kind, made in KINDS.items():
        lines += table(made, f"`{kind}`")
    return "\n".join(lines).lstrip("\n") + "\n"


def test_the_document_has_every_node_and_key_as_the_source_says_it() -> None:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    assert before
    assert rest.partition(END)[0] == nodes(), f"run: python -m {__name__}"


@pytest.mark.parametrize("document", ["ivr.md", "queues.md"])
def test_the_flows_of_the_documents_have_no_mistakes(document: str) -> None:
    parts = DOCUMENT.with_name(document).read_text().split("```toml\n")[1:]
    flows = [part.partition("```")[0] for part in parts]
    flows = [text for text in flows if "[node." in text]
    assert flows
    for text in flows:
        assert mistakes(text) == []


def test_the_mistakes_of_the_document_are_those_that_are_told(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    (flow,) = [each for each in text.split("```toml\n")[1:] if each.startswith("title")]
    wrong = flow.partition("```")[0].replace('next = "keep"', 'next = "kep"')
    file = tmp_path / "orders.toml"
    file.write_text(wrong.replace("timeout_s = 3", "timeout_s = 90"))
    with pytest.raises(FlowError) as caught:
        load(Place(file))
    shown = text.partition("$ agent-endpoint ivr check orders.toml\n")[2].partition("```")[0]
    told = [line.removeprefix("✘ ").strip() for line in shown.splitlines()]
    assert told == [str(each) for each in caught.value.mistakes]


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    head, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(f"{head}{BEGIN}{nodes()}{END}{rest.partition(END)[2]}")
