"""Requests and responses as text, for tests of single layers."""

from __future__ import annotations

from signaling.sip.message import Request, Response, parse_message, respond


def request(
    method: str = "INVITE",
    *,
    branch: str | None = "z9hG4bKa1",
    uri: str = "sip:bob@192.0.2.2",
    sent_by: str = "192.0.2.1:5060",
    via_parameters: str = "",
    from_tag: str | None = "f1",
    to_tag: str | None = None,
    call_id: str = "c1",
    cseq: int = 1,
    cseq_method: str | None = None,
    contact: str | None = "sip:alice@192.0.2.1:5060",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> Request:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {sent_by}{f';branch={branch}' if branch else ''}{via_parameters}",
        f"From: <sip:alice@192.0.2.1>{f';tag={from_tag}' if from_tag else ''}",
        f"To: <sip:bob@192.0.2.2>{f';tag={to_tag}' if to_tag else ''}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {cseq_method or method}",
    ]
    if contact is not None:
        lines.append(f"Contact: <{contact}>")
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}")
    message = parse_message("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    assert isinstance(message, Request)
    return message


def response(to: Request, status: int, tag: str | None = "t1", **kwargs: object) -> Response:
    return respond(to, status, to_tag=tag, **kwargs)  # type: ignore[arg-type]
