"""`docs/settings.md` is made from the settings: `python -m` this module writes it anew."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from endpoint.app.settings import Config

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).parents[4] / "docs" / "settings.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->"
NOTHING = (None, "", [], {})


def said(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field in the source, or in that of what it is a kind of."""
    if model is BaseModel:
        return {}
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for base in model.__bases__:
        found |= said(base)
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def model_of(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """The section that a field is, and whether it is a list of such."""
    kinds = [field.annotation, *get_args(field.annotation)]
    model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    return model, get_origin(field.annotation) is list


def values(annotation: Any) -> list[str]:
    """The words that a setting may be."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [value for inner in get_args(annotation) for value in values(inner)]


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "*needed*"
    given = field.default
    if field.default_factory is not None or isinstance(given, BaseModel) or given in NOTHING:
        return ""
    if isinstance(given, list):
        given = [
            one.model_dump(exclude_defaults=True) if isinstance(one, BaseModel) else one
            for one in given
        ]
    return f"`{json.dumps(given)}`"


def tables(model: type[BaseModel], key: str, title: str) -> Iterator[str]:
    """The table of a section, then those of the sections in it."""
    texts, rows = said(model), []
    inner: dict[type[BaseModel], list[str]] = {}
    for name, field in model.model_fields.items():
        section, is_list = model_of(field)
        whole = f"{key}.{name}".strip(".")
        text = texts.get(name, "")
        if section is not None:
            inner.setdefault(section, []).append(f"[[{whole}]]" if is_list else f"[{whole}]")
            if not text:
                continue
        words = [value for value in values(field.annotation) if f"`{value}`" not in text]
        text = " ".join(filter(None, [text, ", ".join(f"`{word}`" for word in words)]))
        rows.append(f"| `{name}` | {default(field)} | {text.replace('|', chr(92) + '|')} |")
    if rows:
        head = (inspect.getdoc(model) or "").partition(": ")[2] if key else ""
        yield f"\n## {title}\n\n{head and head[0].upper() + head[1:] + chr(10) * 2}"
        yield "| key | default | means |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    for section, shapes in inner.items():
        whole = shapes[0].strip("[]")
        yield from tables(section, whole, ", ".join(f"`{shape}`" for shape in shapes))


def made() -> str:
    return "".join(tables(Config, "", "Above the first table"))


def test_the_document_says_what_can_be_set() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == made(), "write it: python -m this module"


def test_every_setting_says_what_it_means() -> None:
    dumb = [line for line in made().splitlines() if line.startswith("|") and line.endswith("|  |")]
    assert dumb == []


if __name__ == "__main__":
    before, begin, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    DOCUMENT.write_text(before + begin + made() + END + rest.partition(END)[2], encoding="utf-8")
