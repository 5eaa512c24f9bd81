"""Print how well analysis does on songs with known truth.

    python tests/benchmarks/analysis_figures.py FOLDER

FOLDER holds `real/`, `full/`, `synthetic/` and `loops/` as the tests expect them.
"""

import json
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import mir_eval
import numpy as np
import soundfile

from workstation.analyze import ArraySource, analyze
from workstation.model import JobContext

LOOP_BEATS = {
    "amen_full": 16,
    "breakbeat": 4,
    "compus": 16,
    "garzul": 16,
    "mika": 16,
    "perc1": 4,
}


@dataclass
class Item:
    name: str
    path: Path
    beats: list
    bpm: float | None
    meter: int
    key: str | None = None
    sections: list = field(default_factory=list)
    seconds: float = 0.0


def items(folder):
    manifest = json.loads((folder / "real" / "manifest.json").read_text())
    for name, truth in manifest.items():
        path = folder / "real" / name / "mix.flac"
        yield Item(f"real/{name}", path, truth["beats"], truth["bpm"], 4, key_of(truth))
    for path in sorted((folder / "full").glob("*.ogg")):
        truth = json.loads(path.with_suffix(".json").read_text())
        yield Item(f"full/{path.stem}", path, truth["beats"], truth["bpm"], 4, key_of(truth))
    for song in sorted((folder / "synthetic").iterdir()):
        truth = json.loads((song / "truth.json").read_text())
        yield Item(
            f"synthetic/{song.name.split('_')[0]}",
            song / "mix.flac",
            truth["beats"],
            truth["tempo_bpm"] if truth["constant_tempo"] else None,
            int(truth["time_signature"][0]),
            key_of(truth),
            [s[0] for s in truth["sections"]],
            truth["seconds"],
        )
    for name, count in LOOP_BEATS.items():
        path = folder / "loops" / f"loop_{name}.flac"
        seconds = soundfile.info(path).duration
        beats = [[k * seconds / count, k % 4 + 1] for k in range(count)]
        yield Item(f"loop/{name}", path, beats, 60 * count / seconds, 4)


def key_of(truth):
    return f"{truth['key']} {truth['mode']}"


def row(item):
    samples, rate_hz = soundfile.read(item.path, dtype="float32", always_2d=True)
    started = time.perf_counter()
    found = analyze(ArraySource(samples.T, rate_hz), job=JobContext())
    speed = len(samples) / rate_hz / (time.perf_counter() - started)
    beats = np.array([b[0] for b in item.beats])
    downbeats = np.array([b[0] for b in item.beats if b[1] == 1])
    ours, ours_down = np.array(found.grid.beats_s), np.array(found.grid.downbeats_s)
    nearest = ours[np.abs(ours[:, None] - beats[None]).argmin(axis=0)] - beats
    offset_ms = 1000 * float(np.median(nearest[np.abs(nearest) < 0.07]))
    trimmed = [mir_eval.beat.trim_beats(b) for b in (beats, ours)]
    amlt = mir_eval.beat.continuity(*(trimmed if len(trimmed[0]) > 1 else (beats, ours)))[3]
    error = "" if item.bpm is None else f"{found.bpm - item.bpm:+.3f}"
    form = ""
    if item.sections:
        reference = np.array([item.sections, [*item.sections[1:], item.seconds]]).T
        estimate = np.array([[s.start_s, s.end_s] for s in found.sections])
        scores = mir_eval.segment.detection(reference, estimate, 3.0, trim=True)
        form = "/".join(f"{s:.2f}" for s in scores)
    key = "-" if found.key is None else f"{found.key.name} {found.key.confidence:.2f}"
    return (
        f"{item.name:17}{error:>8}{mir_eval.beat.f_measure(beats, ours):7.3f}"
        f"{mir_eval.beat.f_measure(downbeats, ours_down):7.3f}{amlt:6.2f}{offset_ms:+8.1f}"
        f"{found.grid.beats_per_bar:4}/{item.meter}  {key:16}{item.key or '-':10}{form:16}"
        f"{len(found.sections):4}{speed:6.0f}x"
    )


def main():
    warnings.filterwarnings("ignore", module="mir_eval")
    print(
        f"{'item':17}{'bpm err':>8}{'beat F':>7}{'down F':>7}{'AMLt':>6}{'off ms':>8}"
        f"{'met':>6}  {'key':16}{'stated':10}{'form P/R/F 3 s':16}{'sec':>4}{'speed':>7}"
    )
    for item in items(Path(sys.argv[1])):
        print(row(item))


if __name__ == "__main__":
    main()
