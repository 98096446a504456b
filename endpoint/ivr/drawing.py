"""A flow as a picture: for a terminal, and for whoever draws Mermaid."""

from __future__ import annotations

from collections.abc import Iterator

from endpoint.ivr import flow as f
from endpoint.ivr.flow import Flow, Node, kind_of, sounds_of, targets


def about(node: Node) -> str:
    """What a node does, in a few words."""
    match node:
        case f.Play():
            return _prompt(node.prompt)
        case f.Menu():
            return f"{_prompt(node.prompt)}; {node.tries} tries of {node.timeout_s:g} s"
        case f.Collect():
            lengths = f"{node.min_length} to {node.max_length}"
            if node.min_length == node.max_length:
                lengths = str(node.max_length)
            what = f"{lengths} keys into {node.into}{', secret' if node.secret else ''}"
            return f"{_prompt(node.prompt)}; {what}; {node.tries} tries"
        case f.Set():
            return ", ".join(f"{name} = {text!r}" for name, text in node.values.items())
        case f.Branch():
            return node.on
        case f.Webhook():
            return f"POST {node.url}, {node.timeout_s:g} s"
        case f.Verify():
            by = f"{node.file} at {node.key}" if node.file else node.hash
            return f"{node.secret} by {by}; {node.tries} tries"
        case f.Queue():
            return f"skill {node.skill}, up to {node.max_wait_s:g} s"
        case f.Transfer():
            return f"to {node.to}"
        case f.Return():
            return "to the agent who sent the call"
        case f.HangUp():
            return ""


def _prompt(prompt: f.Prompt) -> str:
    parts = []
    for sound in sounds_of(prompt):
        spoken = sound.spoken
        tones = "+".join(f"{hz:g} Hz" for hz in sound.tone_hz) or "silence"
        parts.append(sound.file or (f"say {spoken}" if spoken else f"{tones} {sound.ms} ms"))
    return ", ".join(parts)


def ways(node: Node) -> Iterator[tuple[str, str]]:
    """What leads where: a key, a word, and the node."""
    for field, target, _ in targets(node):
        if target:
            name, dot, key = field.partition(".")
            yield (key or '""') if dot else name, target


def ordered(flow: Flow) -> list[str]:
    """The nodes, from the start on, as a call may come to them."""
    found, left = dict[str, None](), [flow.start]
    while left:
        name = left.pop(0)
        if name not in found:
            found[name] = None
            left += [target for _, target in ways(flow.node[name])]
    return list(found)


def drawn(flow: Flow) -> str:
    """For a terminal: each node, and below it where it leads."""
    lines = []
    for name in ordered(flow):
        node = flow.node[name]
        begin = "▶ " if name == flow.start else "  "
        lines.append(f"{begin}{name} ({kind_of(node)}) {about(node)}".rstrip())
        labelled = list(ways(node))
        width = max((len(label) for label, _ in labelled), default=0)
        lines += [f"      {label:<{width}} → {target}" for label, target in labelled]
    return "\n".join(lines)


def mermaid(flow: Flow) -> str:
    """As a flowchart of Mermaid."""
    lines = ["flowchart TD"]
    for name in ordered(flow):
        node = flow.node[name]
        text = f"{name}<br>{kind_of(node)} {about(node)}".replace('"', "#quot;")
        lines.append(f'    n_{_id(name)}["{text}"]')
    for name in ordered(flow):
        for label, target in ways(flow.node[name]):
            said = label.replace('"', "#quot;")
            lines.append(f'    n_{_id(name)} -->|"{said}"| n_{_id(target)}')
    return "\n".join(lines)


def _id(name: str) -> str:
    return name.replace("-", "_45_")
