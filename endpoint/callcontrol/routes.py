"""Who hears whom: a pure function of an interaction's state, so that audio never disagrees with it.

In each call:

- those who are connected, on legs that are up, hear each other; who is muted or only listens is
  heard by nobody, and who whispers by the one beside whom he is;
- a caller whose leg is not answered hears the called one's early media, and nothing else before;
- one who is connected alone hears why: music when the others hold the call or it is parked,
  ring-back (or the far end's own) while somebody rings, the busy tone when somebody could not be
  reached;
- while a call is transferred, those who are connected wait together, as soon as the new party
  rings, and hear it ring; until then one who is alone does;
- while it is announced that the call is recorded, those who are connected hear that, and not each
  other: what is said before it is over could be meant for no recording;
- one who holds hears nothing of that call, also when the others hold it too.
"""

from __future__ import annotations

from collections.abc import Iterator

from endpoint.callcontrol.model import (
    Call,
    Connection,
    ConnectionState,
    Interaction,
    LegProgress,
    Participation,
    Timer,
    TimerKind,
)
from endpoint.legs.base import Announcement, LegId, Route, Source


def routes(interaction: Interaction) -> frozenset[Route]:
    """Every route of the interaction. Only legs that are up, or hear early media, are sinks."""
    return frozenset(route for call in interaction.calls for route in _routes_of(interaction, call))


def heard_in(
    interaction: Interaction, call: Call
) -> dict[LegId, list[LegId | Source | Announcement]]:
    """What each leg hears in one of the calls: the same routes, by their sinks."""
    heard: dict[LegId, list[LegId | Source | Announcement]] = {}
    for route in _routes_of(interaction, call):
        heard.setdefault(route.sink, []).append(route.source)
    return heard


def held_legs(interaction: Interaction) -> frozenset[LegId]:
    """The legs whose far end is to be told that it is held (`sendonly`).

    A party is held when all others in its call hold it, whether or not it holds them too, and when
    it is parked alone; and not while it talks in another call of the interaction.
    """
    held, talking = set[LegId](), set[LegId]()
    for call in interaction.calls:
        parties = [each for each in _parties(interaction, call) if each.is_party]
        for party in parties:
            others = [each for each in parties if each is not party]
            if (others or _is_parked(call)) and all(
                each.state is ConnectionState.HOLD for each in others
            ):
                held.add(party.leg)
            elif party.state is ConnectionState.CONNECTED:
                talking.add(party.leg)
    return frozenset(held - talking)


def _routes_of(interaction: Interaction, call: Call) -> Iterator[Route]:
    parties = _parties(interaction, call)
    connected = [each for each in parties if each.state is ConnectionState.CONNECTED]
    joining, talking = _joining(interaction, call), sum(each.is_party for each in connected)
    if joining is not None and (joining.state is ConnectionState.ALERTING or talking == 1):
        for waiting in connected:
            yield Route(_rings(interaction, joining), waiting.leg)
        return
    if call.recording is not None and call.recording.announcement is not None and talking > 1:
        for listener in connected:
            yield Route(call.recording.announcement, listener.leg)
        return
    for listener in (*connected, *_early_listeners(interaction, call)):
        others = [speaker for speaker in connected if _is_heard(speaker, listener)]
        for speaker in others:
            yield Route(speaker.leg, listener.leg)
        alone = not any(each.is_party and each is not listener for each in connected)
        source = _heard_alone(interaction, call, listener, parties) if alone else None
        if source is not None:
            yield Route(source, listener.leg)


def _is_heard(speaker: Connection, listener: Connection) -> bool:
    if speaker is listener or speaker.muted or speaker.participation is Participation.SILENT:
        return False
    return speaker.is_party or speaker.beside == listener.leg


def _heard_alone(
    interaction: Interaction, call: Call, listener: Connection, parties: list[Connection]
) -> LegId | Source | None:
    """What a party hears that nobody is connected with."""
    holds = any(each.state is ConnectionState.HOLD and each.is_party for each in parties)
    if holds or _is_parked(call):
        return Source.MUSIC_ON_HOLD
    states = {each.state: each for each in call.connections}
    if ringing := states.get(ConnectionState.ALERTING):
        return _rings(interaction, ringing)
    if Timer(TimerKind.FAILURE_TONE, listener.leg, call.id) in interaction.timers:
        return Source.BUSY
    return None


def _is_parked(call: Call) -> bool:
    return any(each.state is ConnectionState.QUEUED for each in call.connections)


def _joining(interaction: Interaction, call: Call) -> Connection | None:
    """Who is to take a place in the call and is being called."""
    target = None if call.transfer is None else call.transfer.target
    leg = None if target is None else interaction.leg(target)
    if leg is None or leg.progress not in (LegProgress.PLACED, LegProgress.RINGING):
        return None
    return call.connection_by(leg.id)


def _rings(interaction: Interaction, ringing: Connection) -> LegId | Source:
    """The far end's own ring-back, or ours."""
    leg = interaction.leg(ringing.leg)
    return leg.id if leg is not None and leg.early_media else Source.RING_BACK


def _early_listeners(interaction: Interaction, call: Call) -> list[Connection]:
    """The caller, if it is let hear something before its leg is up."""
    early = {
        leg.id
        for leg in interaction.legs
        if leg.hears_early and leg.progress in (LegProgress.OFFERED, LegProgress.ANSWERING)
    }
    return [each for each in call.connections if each.leg in early]


def _parties(interaction: Interaction, call: Call) -> list[Connection]:
    """The connections whose leg is up, the caller's first; over, they have no state that counts."""
    up = {leg.id for leg in interaction.legs if leg.progress is LegProgress.UP}
    return [each for each in call.connections if each.leg in up]
