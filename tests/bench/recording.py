"""What a recording costs: the media process over forwarding, and the process that writes."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from time import monotonic

from endpoint.media import messages as m
from endpoint.media import recordingmessages as r
from endpoint.media.link import MediaSettings
from endpoint.media.recorder import RecorderProcess
from tests.bench.legs import MediaProcess, Ours, set_up_plain
from tests.bench.report import Row
from tests.bench.rtpload import Forwarding, Ground, cpu_time_s

CPU = "ms/s/leg"
MORE_MS = 0.5


class _Recorded(MediaProcess):
    """Our media process as the relay, and the process that writes, which has the other core."""

    def __init__(self, ground: Ground, recorder: RecorderProcess) -> None:
        super().__init__(
            MediaSettings(
                cpu_affinity=(ground.relay_core,),
                rtp_port_high=24999,
                recorder=recorder.descriptors[0],
            )
        )
        self.recorder = recorder

    async def record(self, folder: Path, legs: int, format: r.Format) -> None:
        """A recording for each two legs."""
        numbers = count(1)
        for caller in range(0, legs, 2):
            left, right = next(numbers), next(numbers)
            name = f"{format}-{caller}"
            command = r.OpenRecording(
                recording=name,
                path=str(folder / name),
                format=format,
                sample_rate_hz=16000,
                at=monotonic(),
            )
            voices = r.SetVoices(recording=name, at=monotonic(), left=[left], right=[right])
            await self.recorder.open(command, [voices])
            await self.link.request(m.StartVoice(voice=left, port=f"leg-{caller}"))
            await self.link.request(m.StartVoice(voice=right, port=f"leg-{caller + 1}"))


async def recording(ground: Ground) -> list[Row]:
    """Plain G.711: forwarded, and forwarded and recorded to WAV and to Opus, in turn."""
    plain: list[Forwarding] = []
    recorded: dict[r.Format, list[Forwarding]] = {each: [] for each in r.Format}
    written: dict[r.Format, list[float]] = {each: [] for each in r.Format}
    for number in range(ground.rounds):
        ground.say(f"recording, {ground.legs} legs, round {number + 1} of {ground.rounds}")
        async with Ours(ground) as relay:
            plain.append(await ground.forward(relay.pid, await set_up_plain(relay, ground.ports)))
        for format in r.Format:
            run, spent_ms = await _recorded(ground, format, number)
            recorded[format].append(run)
            written[format].append(spent_ms)
    least = min(run.cpu_ms for run in plain)
    rows = []
    for format in r.Format:
        best = min(recorded[format], key=lambda run: run.cpu_ms)
        rows.append(
            Row(
                name=f"recording-{format}",
                what=f"recorded to {format}, {ground.legs} legs, over forwarding",
                unit=CPU,
                ours=max(0.0, best.cpu_ms - least),
                limit=MORE_MS,
                loads=[run.load for run in recorded[format]],
                details={"forwarding": least, "p99 ms": best.load.latency_ms.p99},
            )
        )
        rows.append(
            Row(
                name=f"recorder-{format}",
                what=f"the process that writes {format}",
                unit=CPU,
                ours=min(written[format]),
            )
        )
    return rows


async def _recorded(ground: Ground, format: r.Format, number: int) -> tuple[Forwarding, float]:
    """CPU of the media process, and of the one that writes, in ms a second and leg."""
    folder = ground.folder / f"recording-{format}-{number}"
    async with RecorderProcess(1) as recorder, _Recorded(ground, recorder) as relay:
        remotes = await set_up_plain(relay, ground.ports)
        await relay.record(folder, ground.legs, format)
        assert recorder.pid is not None
        before, began = cpu_time_s(recorder.pid), monotonic()
        run = await ground.forward(relay.pid, remotes)
        spent_s, lasted_s = cpu_time_s(recorder.pid) - before, monotonic() - began
    for path in folder.iterdir():
        path.unlink()
    return run, 1000 * spent_s / lasted_s / ground.legs
