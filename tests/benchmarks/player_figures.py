"""Figures of the player on a private JACK server: load, latency, memory, render speed.

python tests/benchmarks/player_figures.py load [SECONDS]     # busy parent, 128 frames
python tests/benchmarks/player_figures.py latency            # MIDI port to first changed sample
python tests/benchmarks/player_figures.py memory             # 4 min × 6 stems, 2 h × 4 stems
python tests/benchmarks/player_figures.py render             # offline, times real time
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tests.jack import ClockReader, JackServer, MidiBox, Recorder
from workstation.audio import FloatWav, map_samples
from workstation.model import BeatGrid
from workstation.model.mixer import MixerState
from workstation.perform.deck import Track
from workstation.perform.outputs import OutputOptions
from workstation.perform.render import render_mix
from workstation.session import TakeShelf
from workstation.studio.player import Connections, Player, PlayerSetup

RATE = 44100
PERIOD = 128
NAMES = ("drums", "bass", "other", "vocals", "guitar", "piano")


def make_stems(folder, seconds, names=NAMES, *, constant=False):
    """Noise, or for latency a constant, of some length; long ones repeat ten seconds."""
    rng = np.random.default_rng(2)
    stems = {}
    for name in names:
        piece = rng.uniform(-0.15, 0.15, (2, 10 * RATE)).astype(np.float32)
        if constant:
            piece[:] = 0.1
        path = folder / f"{name}.wav"
        with FloatWav(path, sample_rate_hz=RATE, channels=2, frames=seconds * RATE) as wav:
            for at in range(0, seconds, 10):
                wav.write(at * RATE, piece[:, : (min(10, seconds - at)) * RATE])
        stems[name] = path
    return stems


def player(stems, folder, seconds, device, **wires):
    setup = PlayerSetup(
        stems=stems, engine="noise", sample_rate_hz=RATE, frames=seconds * RATE,
        grid=BeatGrid.constant(bpm=120, first_beat_s=0.0, duration_s=min(seconds, 600)),
        takes=TakeShelf(folder / "takes"),
    )  # fmt: skip
    return Player(setup, OutputOptions(device=device, block_frames=PERIOD), Connections(**wires))


def busy(ended):
    """A parent that works a third of the time, as a screen does at its worst."""
    while not ended.is_set():
        until = time.perf_counter() + 0.015
        while time.perf_counter() < until:
            sum(range(200))
        time.sleep(0.035)


def load(folder, seconds=600):
    stems = make_stems(folder, 60)
    for device in ("system", "jack"):
        ended = threading.Event()
        threading.Thread(target=busy, args=(ended,), daemon=True).start()
        with player(stems, folder, 60, device) as playing:
            playing.loop(seconds=(0, 60))
            playing.play()
            end = time.monotonic() + seconds / 2
            while time.monotonic() < end:
                playing.set(f"{NAMES[int(time.monotonic() * 10) % 6]}.gain", -6)
                time.sleep(0.1)
            p50, p99, p999 = (1e3 * t for t in playing.callback_times(50, 99, 99.9))
            blocks = playing._shared.get("callbacks")
            print(
                f"load {device:7} {seconds / 2:.0f} s, {blocks} blocks of {PERIOD}: callback p50 "
                f"{p50:.3f}  p99 {p99:.3f}  p99.9 {p999:.3f} ms; underflows "
                f"{playing.state.underflows}",
                flush=True,
            )
        ended.set()


PRESET = """
name = "Box"
ports = ["BENCH BOX"]
takeover = "jump"

[[bind]]
message = "cc"
number = 20
to = "strip1.gain"
"""


def latency(folder, server):
    stems = make_stems(folder, 60, ("drums",), constant=True)
    os.environ["WORKSTATION_CONFIG_DIR"] = str(folder)
    (folder / "presets").mkdir()
    (folder / "presets" / "box.toml").write_text(PRESET)
    outputs = {
        "system": ("PortAudio:out_0", "PortAudio:out_1"),
        "jack": ("workstation:left", "workstation:right"),
    }
    ended = threading.Event()
    threading.Thread(target=busy, args=(ended,), daemon=True).start()
    for device, ports in outputs.items():
        with player(stems, folder, 60, device) as playing, MidiBox(server, "BENCH BOX") as box:
            while not (playing.controllers and playing.controllers[0]["connected"]):
                time.sleep(0.05)
            playing.play()
            sent = []
            with Recorder(server) as recorder:
                recorder.connect(*ports)
                time.sleep(0.3)
                rng = np.random.default_rng(0)
                for k in range(200):
                    sent.append(box.send([0xB0, 20, 110 if k % 2 else 20]))
                    time.sleep(0.04 + rng.uniform(0, 0.01))
                time.sleep(0.2)
                recording = recorder.stop()
        changed = recording.frames[1:][np.diff(recording.samples[:, 0]) != 0]
        waits = [1e3 * (changed[changed > frame][0] - frame) / RATE for frame in sent[1:]]
        p50, p90, p99 = np.percentile(waits, [50, 90, 99])
        print(
            f"latency {device:7} block {PERIOD}: p50 {p50:.2f}  p90 {p90:.2f}  p99 {p99:.2f}  "
            f"max {max(waits):.2f} ms from port to first changed sample ({len(waits)} changes)",
            flush=True,
        )
    ended.set()


def clock(folder, server):
    stems = make_stems(folder, 60)
    for device in ("system", "jack"):
        ended = threading.Event()
        threading.Thread(target=busy, args=(ended,), daemon=True).start()
        with ClockReader(server, "SYNC BOX") as box:
            with player(stems, folder, 60, device, clock_ports=("SYNC BOX",)) as playing:
                playing.play()
                playing.wait(20)
            events = box.events()
        ended.set()
        frames = np.array([frame for frame, data in events if data == b"\xf8"])
        late = frames - np.arange(len(frames)) * RATE / 48
        off = 1e3 * np.abs(late - np.median(late)) / RATE
        p50, p99 = np.percentile(off, [50, 99])
        print(
            f"clock {device:7} {len(frames)} clocks: off the line p50 {p50:.2f}  p99 {p99:.2f}  "
            f"max {off.max():.2f} ms (JACK MIDI moves in periods of {1e3 * PERIOD / RATE:.1f} ms)",
            flush=True,
        )


def resident(pid):
    """Resident memory in MiB: all, and what is not mapped from files."""
    values = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in {"VmRSS", "RssAnon", "VmHWM"}:
            values[name] = int(rest.split()[0]) / 1024
    return values


def memory(folder):
    for label, seconds, names in (("4 min × 6", 240, NAMES), ("2 h × 4", 7200, NAMES[:4])):
        place = folder / str(seconds)
        place.mkdir()
        stems = make_stems(place, seconds, names)
        with player(stems, place, seconds, "none") as playing:
            playing.play()
            most = {}
            for k in range(40):
                playing.seek(seconds * k / 41)
                playing.wait(0.6)
                now = resident(playing._process.pid)
                most = {name: max(now[name], most.get(name, 0)) for name in now}
            print(
                f"memory {label}: resident at most {most['VmRSS']:.0f} MiB, of that "
                f"{most['RssAnon']:.0f} MiB its own; over the whole song in 40 jumps",
                flush=True,
            )
        for path in stems.values():
            path.unlink()


def render(folder):
    stems = make_stems(folder, 240)
    tracks = [Track(name, map_samples(path)) for name, path in stems.items()]
    state = MixerState.neutral(NAMES)
    for label, mixer in (("at rest", state), ("all filtered", _filtered(state))):
        began = time.perf_counter()
        for _ in render_mix(tracks, RATE, mixer):
            pass
        took = time.perf_counter() - began
        print(f"render 4 min × 6, {label}: {took:.2f} s, {240 / took:.0f} times real time")


def _filtered(state):
    import msgspec

    strips = {n: msgspec.structs.replace(s, filter=-0.5) for n, s in state.strips.items()}
    return MixerState(strips)


def main():
    what, *rest = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name, JackServer(RATE, PERIOD) as server:
        os.environ.update(server.environment)
        folder = Path(name)
        if what == "load":
            load(folder, *(int(r) for r in rest))
        elif what in {"latency", "clock"}:
            {"latency": latency, "clock": clock}[what](folder, server)
        else:
            {"memory": memory, "render": render}[what](folder)


if __name__ == "__main__":
    main()
