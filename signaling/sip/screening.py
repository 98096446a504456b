"""What a request is refused for before anybody looks at what it wants (RFC 3261 §8.2.1-3)."""

from __future__ import annotations

from dataclasses import dataclass

from signaling.errors import SipParseError
from signaling.sip.grammar import lower, split_values
from signaling.sip.message import METHODS, Request
from signaling.sip.session_timer import DEFAULT_MINIMUM_S, OPTION_TAG, SessionExpires, minimum_of
from signaling.sip.warning import format_warning


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that ends the matter."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a user agent says of itself in Allow, Accept and Supported."""

    allow: tuple[str, ...]
    accept: tuple[str, ...]
    """Media types of bodies in INVITE."""
    supported: tuple[str, ...]
    minimum_session_s: int = DEFAULT_MINIMUM_S
    """Sessions that want to be refreshed more often are refused (RFC 4028 §9)."""
    required: tuple[str, ...] = ()
    """Option tags without which nobody may call."""

    @property
    def allow_header(self) -> tuple[str, str]:
        """The Allow header field."""
        return "Allow", ", ".join(self.allow)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """All three, as OPTIONS is answered (§11.2). An empty Supported says: nothing."""
        return (
            self.allow_header,
            ("Accept", ", ".join(self.accept)),
            ("Supported", ", ".join(self.supported)),
        )


def screen(request: Request, abilities: Abilities) -> Refusal | None:
    """Why the request is refused, or None; in the order of RFC 3261 §8.2. Not for ACK."""
    if request.method not in abilities.allow:
        return Refusal(405 if request.method in METHODS else 501, (abilities.allow_header,))
    if not request.uri.is_sip:
        return Refusal(416)
    if request.method != "CANCEL":  # §8.2.2.3: ignored there
        unsupported = [tag for tag in request.require if tag not in abilities.supported]
        if unsupported:
            return Refusal(420, (("Unsupported", ", ".join(unsupported)),))
    if request.method == "INVITE" and (refusal := _screen_invite(request, abilities)):
        return refusal
    if request.method in ("INVITE", "UPDATE"):
        return _screen_session(request, abilities.minimum_session_s)
    return None


def _screen_invite(request: Request, abilities: Abilities) -> Refusal | None:
    accept, known = abilities.accept, {*request.supported, *request.require}
    missing = [tag for tag in abilities.required if tag not in known]
    if missing and request.to.tag is None:
        return Refusal(421, (("Require", ", ".join(missing)),))
    if request.body and request.content_type not in accept:
        return Refusal(415, (("Accept", ", ".join(accept)),))
    encoding = lower(request.headers.get("Content-Encoding") or "identity")
    if request.body and encoding != "identity":
        return Refusal(415, (("Accept-Encoding", "identity"),))
    wanted = request.headers.get_all("Accept")
    if wanted and not any(_takes(line, media_type) for line in wanted for media_type in accept):
        # Whoever sends an INVITE must take a session description (RFC 4475 §3.3.15).
        return Refusal(406, (("Warning", format_warning(399, "application/sdp is needed")),))
    if not request.contacts and (request.via.branch or "").startswith("z9hG4bK"):
        return Refusal(400, reason="Missing Contact")  # §8.1.1.8; not so in RFC 2543
    if "Join" in request.headers and "Replaces" not in request.headers:
        # RFC 3911 §4: who does not mix for others says so, instead of ringing.
        return Refusal(488, reason="Join is not taken here")
    return None


def _screen_session(request: Request, minimum_s: int) -> Refusal | None:
    try:
        said, _ = SessionExpires.of(request), minimum_of(request)
    except SipParseError as error:
        return Refusal(400, reason=f"Bad Request: {error}")
    can_ask_longer = OPTION_TAG in (*request.supported, *request.require)
    if said is not None and said.interval_s < minimum_s and can_ask_longer:  # RFC 4028 §9
        return Refusal(422, (("Min-SE", str(minimum_s)),))
    return None


def _takes(accept: str, media_type: str) -> bool:
    """Whether an Accept line admits a media type. An empty line admits none (§20.1)."""
    major = media_type.partition("/")[0]
    try:
        ranges = split_values(accept)
    except SipParseError:
        return True
    names = (lower(value.partition(";")[0].replace(" ", "")) for value in ranges)
    return any(name in (media_type, f"{major}/*", "*/*") for name in names)
