"""The OpenAPI document of the native interface, made of its operations and messages."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec

from endpoint.gateways.native import agentmessages as agents
from endpoint.gateways.native import messages as wire
from endpoint.gateways.native import webhookmessages as webhooks
from endpoint.gateways.native.operations import OPERATIONS, Operation, Whose

Document = dict[str, Any]

REF = "#/components/schemas/{name}"
_JSON = "application/json"
_IDEMPOTENCY_KEY: Document = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Asked again with the same key and body, it is not done again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
_REASONS = {
    400: "what was sent can't be understood",
    401: "no token, or one that proves nothing",
    403: "not for who asks",
    404: "there is no such thing, or none that who asks may see",
    408: "the body did not come in time",
    409: "the state does not allow it",
    410: "it is gone",
    412: "it has changed meanwhile",
    413: "the body is too long",
    415: "the body's type is another",
    416: "there is no such range",
    422: "it can't be done so",
    426: "this is a WebSocket",
    428: "a precondition is missing",
    429: "too often",
    503: "not now",
}

_TOLD = (
    wire.EventFrame,
    wire.Snapshot,
    agents.AgentEventFrame,
    agents.AgentSnapshot,
    webhooks.WebhookTest,
)
"""What webhooks are told."""


def openapi(version: str) -> Document:
    """OpenAPI 3.1."""
    types = {kind for each in OPERATIONS.values() for kind in _types(each)}
    refused: set[type] = {wire.Refused, *(each.refused for each in OPERATIONS.values())}
    paths: dict[str, Document] = {}
    for each in OPERATIONS.values():
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agent-endpoint",
            "version": version,
            "summary": "A call-centre agent's telephone on a server, controlled by a program.",
            "description": "Commands are accepted with 202; events say what became of them: "
            "see asyncapi.json.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": wire.API}],
        "security": [{"bearer": []}],
        "paths": paths,
        "webhooks": {"event": {"post": _told()}},
        "components": {
            "schemas": schemas([*types, *_TOLD, wire.Refused]),
            "responses": {
                f"{kind.__name__}{status}": _refusal(kind, text)
                for kind in sorted(refused, key=lambda each: each.__name__)
                for status, text in _REASONS.items()
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def schemas(types: Iterable[type]) -> Document:
    """The messages as JSON Schema 2020-12, each field with what the code says of it."""
    named = sorted(set(types), key=lambda kind: (kind.__name__, kind.__module__))
    _, components = msgspec.json.schema_components(named, ref_template=REF)
    told = {kind.__name__: kind for kind in _reached(named)}
    for name, schema in components.items():
        said = field_texts(told[name]) if name in told else {}
        for field, found in schema.get("properties", {}).items():
            if field in said:
                found.setdefault("description", said[field])
    cleaned: Document = _cleaned(components)
    return cleaned


def ref(kind: type) -> Document:
    """Where a message's schema is."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    return schema


@cache
def field_texts(kind: type) -> Mapping[str, str]:
    """What stands below each field."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):
        return {}
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[1:-1]):
        found |= field_texts(base) if base is not msgspec.Struct else {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = inspect.cleandoc(str(text.value.value))
    return found


def _reached(types: Iterable[type]) -> set[type]:
    """Those, and all that are inside of them."""
    found: set[type] = set()

    def look(kind: msgspec.inspect.Type) -> None:
        of = getattr(kind, "cls", None)
        if of is not None and of in found:
            return
        if of is not None:
            found.add(of)
        for field in getattr(kind, "fields", ()):
            look(field.type)
        for name in ("item_type", "value_type", "key_type", "type"):
            inner = getattr(kind, name, None)
            if isinstance(inner, msgspec.inspect.Type):
                look(inner)
        for inner in getattr(kind, "types", ()) or getattr(kind, "item_types", ()):
            look(inner)

    for each in types:
        look(msgspec.inspect.type_info(each))
    return found


def _types(operation: Operation) -> Iterable[type]:
    for kind in (operation.body, operation.answer, operation.refused):
        if isinstance(kind, type):
            yield kind


def _operation(each: Operation) -> Document:
    statuses = {401, 403, 429} if each.whose is not Whose.NOBODYS else {401}
    statuses |= {400} if each.query or each.body is not None or each.media else set()
    statuses |= {400, 408, 409, 413, 422} if each.keyed else set()
    statuses |= {408, 413, 415} if each.body is not None or each.media else set()
    found: Document = {
        "operationId": _name(each),
        "summary": each.text.rstrip("."),
        "description": _who(each),
        "tags": [each.tag],
        "parameters": [
            *_path_parameters(each),
            *_query_parameters(each),
            *([_IDEMPOTENCY_KEY] if each.keyed else []),
        ],
        "responses": {
            str(each.status): _answer(each),
            **({"201": _answer(each)} if each.adds else {}),
            **{
                str(status): {"$ref": f"#/components/responses/{each.refused.__name__}{status}"}
                for status in sorted(statuses | {*each.refusals, 503})
            },
        },
    }
    if each.whose is Whose.NOBODYS:
        found["security"] = []
    if each.body is not None or each.media:
        content = {kind: {"schema": {"type": "string"}} for kind in each.media}
        if each.body is not None:
            content[_JSON] = {"schema": ref(each.body)}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _told() -> Document:
    return {
        "operationId": "told",
        "summary": "An event, told again until any 2xx takes it",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in webhooks.HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"anyOf": [ref(kind) for kind in _TOLD]}}},
        },
        "responses": {"2XX": {"description": "taken"}},
    }


def _name(each: Operation) -> str:
    words = [part for part in re.split(r"\W+", each.path) if part]
    return "_".join([each.method.lower(), *(word.replace("-", "_") for word in words)])


def _who(each: Operation) -> str:
    who = {
        Whose.NOBODYS: "Needs no token.",
        Whose.ANYBODYS: "For whoever has the scope.",
        Whose.DEVICE: "For the device's agent, who supervises it, administrators.",
        Whose.STATION: "For the device's agent, or one who may log on there; administrators.",
        Whose.CALL: "For who has a party in the call; for others there is no such call.",
        Whose.FOUND: "Holds what is about who asks; for administrators everything.",
        Whose.AGENT: "For the agent itself, who supervises it, administrators.",
        Whose.TENANT: "For administrators.",
        Whose.HOUSE: "For the installation's token, where the default tenant is served.",
    }[each.whose]
    return f"{who} Scope: `{each.scope}`." if each.scope is not None else who


def _path_parameters(each: Operation) -> list[Document]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"\{(\w+)\}", each.path)
    ]


def _query_parameters(each: Operation) -> list[Document]:
    return [
        {
            "name": query.name,
            "in": "query",
            "required": False,
            "description": query.text,
            "schema": {"type": "array", "items": query.schema} if query.repeated else query.schema,
        }
        for query in each.query
    ]


def _answer(each: Operation) -> Document:
    if each.answer is None:
        return {"description": "done"}
    if isinstance(each.answer, str):
        if not each.answer:
            return {"description": "see asyncapi.json"}
        return {
            "description": "a file",
            "content": {kind: {} for kind in (each.answer, *each.also)},
        }
    content: Document = {_JSON: {"schema": ref(each.answer)}}
    content |= {kind: {} for kind in each.media if kind == "application/sdp"}
    content |= {kind: {} for kind in each.also}
    return {"description": "accepted" if each.status == 202 else "done", "content": content}


def _refusal(kind: type, text: str) -> Document:
    found = [ref(each) for each in {wire.Refused: None, kind: None}]
    schema = found[0] if len(found) == 1 else {"anyOf": found}
    return {"description": text, "content": {_JSON: {"schema": schema}}}


def _cleaned(value: Any) -> Any:
    r"""Python's `\Z` is `$` in JSON Schema."""
    if isinstance(value, dict):
        return {key: _cleaned(found) for key, found in value.items()}
    if isinstance(value, list):
        return [_cleaned(found) for found in value]
    return value.removesuffix("\\Z") + "$" if _is_python(value) else value


def _is_python(value: object) -> bool:
    return isinstance(value, str) and value.startswith("^") and value.endswith("\\Z")
