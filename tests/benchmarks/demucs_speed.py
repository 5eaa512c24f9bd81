"""How fast htdemucs is here: the `demucs` command, ours with torch, ours with OpenVINO, in turn.

    python tests/benchmarks/demucs_speed.py [--seconds 60] [--rounds 3]

All get the same audio (the demo song, again and again) and the same checkpoint, which has the full
size of htdemucs and random weights. Wall times are end to end, from the start of a process to the
last stem on disk; the median counts, since other programs may disturb a run. Memory is the
sum of the peaks of all processes of a run (on Linux). Agreement is 10·log10(Σ demucs² / Σ
(demucs - ours)²) over all stems before they are made to sum to the mix: with random weights they do
not. Rows that need the extra `fast` are left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import soundfile as sf

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
STEMS = ["drums", "bass", "other", "vocals"]
ROWS = {
    "demucs": None,
    "workstation, torch": ["--precision", "f32"],
    "workstation[fast], f32": ["--precision", "f32"],
    "workstation[fast], bf16": ["--precision", "bf16"],
}


def write_song(path, seconds):
    from workstation.studio.demo_song import compose

    demo = compose()
    frames = seconds * demo.sample_rate_hz
    mix = np.tile(demo.mix, -(-frames // demo.mix.shape[1]))[:, :frames]
    sf.write(path, mix.T, demo.sample_rate_hz, subtype="FLOAT")


def write_checkpoint(folder):
    import torch
    from demucs.htdemucs import HTDemucs

    from tests.separate.tiny_demucs import write_bag, write_th

    torch.manual_seed(0)
    network = HTDemucs(sources=STEMS, segment=Fraction(39, 5), bottom_channels=512)
    write_th(folder, "random00", network)
    write_bag(folder, "random", ["random00"])


def command(row, place, run):
    song, models = place / "song.wav", place / "models"
    if row == "demucs":
        options = ["-n", "random", "--repo", models, "--shifts", "0", "-d", "cpu", "--float32"]
        end = ["--clip-mode", "none", "-o", run, song]
        return [sys.executable, "-m", "demucs", *map(str, [*options, *end])]
    options = ["--engine", "random", "--models-dir", models, "--trust", "--device", "cpu"]
    end = ["--offline", "--reference", "--session-dir", run / "session", "--out", run / "stems"]
    python = [sys.executable, "-m", "workstation", "separate", song]
    return list(map(str, [*python, *options, *ROWS[row], *end]))


def run_and_watch(row, place, run):
    """Wall and CPU seconds, and peak MiB, of all processes together."""
    run.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORKSTATION_CACHE_DIR": str(place / row)}
    if row == "workstation, torch":
        environment["PYTHONPATH"] = f"{place / 'hidden'}{os.pathsep}{ROOT}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = psutil.Popen(
        command(row, place, run), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peaks = {}
    while process.poll() is None:
        for part in [process, *process.children(recursive=True)]:
            peaks[part.pid] = max(peaks.get(part.pid, 0), peak_kib(part.pid))
        time.sleep(0.05)
    wall = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{row} failed:\n{process.stderr.read().decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, sum(peaks.values()) / 1024


def peak_kib(pid):
    """The most memory that a process has held so far, as the system keeps it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):  # It has just ended.
        return 0


AGREE = """
import sys
import numpy as np, soundfile as sf
from pathlib import Path
from workstation.model import JobContext
from workstation.separate import EngineOptions, engine
song, models, precision, out = sys.argv[1:]
mix, rate = sf.read(song, dtype="float32", always_2d=True)
options = EngineOptions(
    models_dir=Path(models), trust=True, offline=True, device="cpu", precision=precision
)
stems = engine("random", options).separate(np.ascontiguousarray(mix.T), rate, JobContext())
np.save(out, np.stack(list(stems.values())))
"""


def agreement(row, place, reference):
    """How far below the stems of demucs the difference of ours is, in dB."""
    out = place / "ours.npy"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORKSTATION_CACHE_DIR": str(place / row)}
    if row == "workstation, torch":
        environment["PYTHONPATH"] = f"{place / 'hidden'}{os.pathsep}{ROOT}"
    args = [place / "song.wav", place / "models", ROWS[row][1], out]
    subprocess.run([sys.executable, "-c", AGREE, *map(str, args)], env=environment, check=True)
    ours = np.load(out)
    error = np.sum((ours - reference) ** 2, dtype=np.float64)
    return 10 * np.log10(np.sum(reference**2, dtype=np.float64) / error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    from workstation.separate.openvino_network import openvino_is_there

    rows = [row for row in ROWS if "fast" not in row or openvino_is_there()]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "models").mkdir()
        # A package that cannot be found: how ours behaves without the extra.
        (place / "hidden").mkdir()
        (place / "hidden" / "sitecustomize.py").write_text(
            "import importlib.util as u\n_find = u.find_spec\n"
            "u.find_spec = lambda name, *a: None if name == 'openvino' else _find(name, *a)\n"
        )
        write_song(place / "song.wav", args.seconds)
        write_checkpoint(place / "models")
        for row in rows:
            if "f32" in row:  # Once before the others: the network is converted.
                wall, _, _ = run_and_watch(row, place, place / "first")
                (place / rows[-1]).symlink_to(place / row)  # One conversion serves both.
                print(f"first run of {row}: {wall:.1f} s, conversion included", flush=True)
        found = {row: [] for row in rows}
        for number in range(args.rounds):
            for row in rows:
                found[row].append(run_and_watch(row, place, place / f"{number} {row}"))
        song = place / "0 demucs" / "random" / "song"
        reference = np.stack([sf.read(song / f"{s}.wav", dtype="float32")[0].T for s in STEMS])
        print(f"\n{args.seconds} s of stereo, {os.cpu_count()} cores, {args.rounds} in turn\n")
        heads = ("wall", "× demucs", "CPU", "× demucs", "peak", "agreement")
        print(f"{'':<25}" + "".join(f"{head:>11}" for head in heads))
        usual = None
        for row, runs in found.items():
            wall, cpu = (statistics.median(run[k] for run in runs) for k in range(2))
            usual = usual or (wall, cpu)
            same = "" if row == "demucs" else f"{agreement(row, place, reference):.1f} dB"
            times = [f"{wall:.1f} s", f"{usual[0] / wall:.2f}"]
            times += [f"{cpu:.1f} s", f"{usual[1] / cpu:.2f}"]
            cells = [*times, f"{max(run[2] for run in runs):.0f} MiB", same]
            print(f"{row:<25}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
