"""What a flow's nodes are to each other: where they lead, and that every way ends."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from endpoint.ivr.flow import (
    GIVEN,
    PROMPTS,
    Collect,
    Flow,
    HangUp,
    Menu,
    Node,
    Play,
    Queue,
    Return,
    Set,
    Transfer,
    Verify,
    Webhook,
    kind_of,
    sounds_of,
    targets,
    texts_of,
    variables_in,
)

Fault = tuple[tuple[str, ...], str]
"""Where, and what was found and expected there."""
_LOCAL = ("127.0.0.1", "localhost", "::1")


def faults_of(
    flow: Flow,
    resolve: Callable[[str], Path | None],
    partly: Collection[str] = (),
) -> Iterator[Fault]:
    """Every fault. `partly` are nodes of which not all could be read: what they lack is told."""
    yield from _missing_targets(flow, partly)
    yield from _variables(flow)
    yield from _files(flow, resolve)
    for name, node in flow.node.items():
        if name not in partly:
            yield from _of_one(flow, name, node)
    yield from _ways(flow, partly)


def _missing_targets(flow: Flow, partly: Collection[str]) -> Iterator[Fault]:
    there = {*flow.node, *partly}
    if flow.start and flow.start not in there:
        yield ("start",), _expected_node(flow, flow.start)
    for name, node in flow.node.items():
        for field, target, _ in targets(node):
            if target and target not in there:
                yield ("node", name, *field.split(".", 1)), _expected_node(flow, target)


def _expected_node(flow: Flow, found: str) -> str:
    close = difflib.get_close_matches(found, flow.node, n=1)
    return f"found {found!r}, expected " + (f"{close[0]}?" if close else "the name of a node")


def _variables(flow: Flow) -> Iterator[Fault]:
    """Every name that a text uses must be given by somebody; a secret by nobody but its users."""
    known, secret = _known(flow)
    for name, node in flow.node.items():
        for field, text in texts_of(node):
            for variable in variables_in(text):
                where = ("node", name, *field.split(".", 1))
                if variable in secret:
                    yield (
                        where,
                        f"{{{variable}}} is secret: only verify and webhook.secrets take it",
                    )
                elif variable not in known:
                    yield where, _unknown(variable, known)
        if isinstance(node, Webhook):
            for variable in node.send:
                if variable in secret:
                    text = f"{variable} is secret: put it into secrets"
                    yield ("node", name, "send"), text
                elif variable not in known:
                    yield ("node", name, "send"), _unknown(variable, known)
            for variable in node.secrets:
                if variable not in secret:
                    text = f"found {variable!r}, expected the variable of a collect with secret"
                    yield ("node", name, "secrets"), text
        if isinstance(node, Verify) and node.secret and node.secret not in secret:
            text = f"found {node.secret!r}, expected the variable of a collect with secret"
            yield ("node", name, "secret"), text
    for variable in sorted(secret & known):
        text = f"{variable} is secret at one node and not at another: expected two variables"
        yield ("node",), text


def _known(flow: Flow) -> tuple[set[str], set[str]]:
    known = {*GIVEN, *flow.expects, *flow.variables}
    secret: set[str] = set()
    for node in flow.node.values():
        match node:
            case Menu(into=str(into)):
                known.add(into)
            case Collect(into=into, secret=is_secret):
                (secret if is_secret else known).add(into)
            case Set(values=values):
                known |= set(values)
            case Webhook(answers=answers):
                known |= set(answers.values())
            case _:
                pass
    return known, secret


def _unknown(variable: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(variable, known, n=1)
    expected = f"expected {close[0]}?" if close else "expected one of the flow's; data of the call"
    return f"unknown variable {{{variable}}}, {expected}" + (
        "" if close else " is named in expects"
    )


def _files(flow: Flow, resolve: Callable[[str], Path | None]) -> Iterator[Fault]:
    for name, node in flow.node.items():
        named: list[tuple[str, str, str]] = []
        match node:
            case Play() | Menu() | Collect() | Queue():
                for field in PROMPTS:
                    for sound in sounds_of(getattr(node, field, "")):
                        if sound.file:
                            of = f"{sound.language}/{sound.file}" if sound.language else ""
                            there = resolve(of) if of else None
                            named += [] if there else [(field, sound.file, "a WAV file")]
                        if len(said := sound.kinds()) != 1 or (sound.tone_hz and not sound.ms):
                            text = f"found {' and '.join(said)}, expected one of file, digits, "
                            yield ("node", name, field), f"{text}number, date, ms (with tone_hz)"
            case Verify(file=str(file)) if file:
                named.append(("file", file, "a TOML file"))
            case _:
                pass
        if isinstance(node, Queue) and node.music:
            named.append(("music", node.music, "a WAV file"))
        for field, file, what in named:
            if resolve(file) is None:
                text = f"found {file!r}, expected {what} that is there"
                yield ("node", name, field), text


def _of_one(flow: Flow, name: str, node: Node) -> Iterator[Fault]:
    where = ("node", name)
    match node:
        case Play(prompt=prompt) | Menu(prompt=prompt) | Collect(prompt=prompt):
            if not sounds_of(prompt):
                yield (*where, "prompt"), "found nothing, expected something to play"
        case _:
            pass
    match node:
        case Queue():
            if bool(node.queue) == bool(node.skill):
                yield where, "expected exactly one of queue and skill"
            if (
                node.priority
                and not variables_in(node.priority)
                and not re.fullmatch("[0-9]", node.priority)
            ):
                text = f"found {node.priority!r}, expected 0 to 9, or a variable"
                yield (*where, "priority"), text
        case Collect():
            if node.min_length > node.max_length:
                text = f"found {node.min_length}, expected max_length ({node.max_length}) at most"
                yield (*where, "min_length"), text
        case Webhook():
            # What a variable holds may not lead elsewhere: the beginning must be written out.
            fixed = node.url.partition("{")[0]
            if not any(fixed.startswith(prefix) for prefix in flow.webhooks):
                text = f"found {node.url!r}, expected what begins as one of the flow's webhooks"
                yield (*where, "url"), text
            elif node.secrets and not is_private(node.url):
                text = f"found {node.url!r}, expected https: secrets go there"
                yield (*where, "url"), text
        case Verify():
            if bool(node.hash) == bool(node.file):
                yield where, "expected exactly one of hash and file"
            if bool(node.file) != bool(node.key):
                yield where, "file and key go together: expected both, or neither"
        case _:
            pass


def check_prefix(prefix: str) -> str | None:
    """What is wrong with what addresses may begin with; None: nothing is."""
    try:
        parts = urlsplit(prefix)
        is_right = parts.scheme in ("http", "https") and parts.hostname and not parts.username
    except ValueError:
        is_right = False
    if is_right and parts.path.endswith("/") and "{" not in prefix:
        return None
    return f"found {prefix!r}, expected http:// or https://, a host, and a path that ends with /"


def is_private(url: str) -> bool:
    """Whether nobody on the way hears what is sent there: https, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in _LOCAL


def _ways(flow: Flow, partly: Collection[str]) -> Iterator[Fault]:
    """Every node is on a way from the start, ends somewhere, and in no circle of its own."""
    for index, prefix in enumerate(flow.webhooks):
        if (text := check_prefix(prefix)) is not None:
            yield ("webhooks",), f"{index + 1}.: {text}"
    leads = {
        name: [(field, target) for field, target, _ in targets(node) if target in flow.node]
        for name, node in flow.node.items()
    }
    reached = _reached({flow.start} & set(flow.node), leads)
    if flow.start in flow.node:
        for name in flow.node:
            if name not in reached:
                yield ("node", name), "no way leads here from start; expected one, or no such node"
    ends = {
        name
        for name, node in flow.node.items()
        if isinstance(node, HangUp | Queue | Transfer | Return)
        or any(target in partly for _, target, _ in targets(node))
        or name in partly
    }
    backwards: dict[str, list[tuple[str, str]]] = {name: [] for name in flow.node}
    for name, ways in leads.items():
        for field, target in ways:
            backwards[target].append((field, name))
    ending = _reached(ends, backwards)
    for name in flow.node:
        if name not in ending:
            yield ("node", name), "no way from here ends: expected one to a hangup, or the like"
    yield from _circles(flow)


def _reached(begin: Collection[str], leads: dict[str, list[tuple[str, str]]]) -> set[str]:
    seen, left = set(begin), list(begin)
    while left:
        for _, target in leads[left.pop()]:
            if target not in seen:
                seen.add(target)
                left.append(target)
    return seen


def _circles(flow: Flow) -> Iterator[Fault]:
    """A way that comes back to where it was though the caller has done nothing would never end."""
    idle: dict[str, list[tuple[str, str]]] = {
        name: [
            (field, target)
            for field, target, instant in targets(node)
            if instant
            and target in flow.node
            and not (isinstance(node, Verify) and field == "again")
        ]
        for name, node in flow.node.items()
    }
    told: set[frozenset[str]] = set()
    for name in flow.node:
        circle = _circle_of(name, idle)
        if circle is not None and frozenset(circle) not in told:
            told.add(frozenset(circle))
            way = " → ".join([*circle, circle[0]])
            kind = kind_of(flow.node[circle[0]])
            text = f"goes round for ever where the caller does nothing ({way})"
            yield ("node", circle[0]), f"{text}; expected this {kind} to lead on"


def _circle_of(start: str, idle: dict[str, list[tuple[str, str]]]) -> list[str] | None:
    """A shortest way from a node back to itself."""
    came: dict[str, str] = {}
    left = [start]
    while left:
        name = left.pop(0)
        for _, target in idle[name]:
            if target == start:
                way = [name]
                while way[-1] != start:
                    way.append(came[way[-1]])
                return way[::-1]
            if target not in came:
                came[target] = name
                left.append(target)
    return None
