"""The SIP ladder as a picture: one SVG file that any browser shows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from endpoint.rig.ladder import CENTRE, Rung

_COLUMN: Final = 240
_ROW: Final = 26
_TOP: Final = 56
_LEFT: Final = 130
_STYLE: Final = (
    "svg{background:#fff;font:13px system-ui,sans-serif}"
    ".head{font-weight:600;text-anchor:middle}.line{stroke:#c4c9d0}"
    ".time{fill:#6b7280;text-anchor:end;font-variant-numeric:tabular-nums}"
    ".label{text-anchor:middle}.arrow{stroke:#2563eb;stroke-width:1.5;marker-end:url(#tip)}"
    ".refused .arrow{stroke:#dc2626}.refused .label{fill:#b91c1c}"
)
_TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker></defs>'
)


def draw_svg(ladder: Sequence[Rung], parties: Sequence[str], *, title: str = "") -> str:
    """The ladder as an SVG document, a row an arrow; refusals are red.

    The endpoint stands between the first party and the others. What is from the wire is escaped.
    """
    columns = [*parties[:1], CENTRE, *parties[1:]]
    at = {name: _LEFT + _COLUMN * index for index, name in enumerate(columns)}
    rows = [rung for rung in ladder if rung.party in at]
    width = _LEFT + _COLUMN * (len(columns) - 1) + 110
    height = _TOP + _ROW * (len(rows) + 1)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_text(title or 'SIP ladder')}</title><style>{_STYLE}</style>",
        _TIP,
    ]
    for name, x in at.items():
        parts.append(f'<text class="head" x="{x}" y="28">{_text(name)}</text>')
        parts.append(f'<line class="line" x1="{x}" y1="38" x2="{x}" y2="{height - 8}"/>')
    start = rows[0].at if rows else 0.0
    for number, rung in enumerate(rows):
        y = _TOP + _ROW * (number + 1) - 8
        ends = [at[CENTRE], at[rung.party]]
        x1, x2 = ends if rung.sent else reversed(ends)
        kind = ' class="refused"' if rung.is_refusal else ""
        parts.append(
            f'<g{kind}><text class="time" x="{_LEFT - 60}" y="{y + 4}">'
            f"{rung.at - start:.3f} s</text>"
            f'<line class="arrow" x1="{x1}" y1="{y}" x2="{x2}" y2="{y}"/>'
            f'<text class="label" x="{(x1 + x2) / 2:g}" y="{y - 5}">{_text(rung.label)}'
            f"<title>{_text(f'{rung.message.transport} {rung.message.peer}')}</title></text></g>"
        )
    return "".join(parts) + "</svg>\n"


def _text(text: str) -> str:
    """What a far end wrote, as text: no markup, and no character that XML forbids."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
