"""Signal-to-distortion ratios of separation engines over songs whose stems are known.

    python tests/benchmarks/separation_figures.py SONGS [SONGS ...] --engine dsp --engine hpss

SONGS holds a folder per song with `drums`, `bass`, `other`, `vocals` and `mix` (.flac or
.wav). SDR is 10·log10(Σ reference² / Σ (reference - estimate)²) over both channels of the
whole song. Where the reference is silent there is no SDR: what leaks there is given in dB
relative to the mix, in brackets. Columns beside the engines: the mix over four as the
estimate of every stem, and masks from the ratio of the true magnitudes (window 4096, hop
1024), which is about the ceiling of anything that only masks. A foreground or
centre counts as vocals, what is percussive as drums.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import soundfile as sf

from workstation.model import JobContext
from workstation.separate import EngineOptions, engine
from workstation.separate.consistency import share_residual
from workstation.separate.stream import ChunkPlan

# What stems of other names are estimates of.
STAND_FOR = {"foreground": "vocals", "centre": "vocals", "percussive": "drums"}
STEMS = ("drums", "bass", "other", "vocals")


def read(folder, name):
    path = next(iter(sorted(p for p in folder.glob(f"{name}.*") if p.suffix in {".flac", ".wav"})))
    audio, rate = sf.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(audio.T), rate


def ratio_masks(mix, references):
    """Oracle: each stem's share of the sum of the true magnitudes."""
    from scipy.signal import istft, stft

    kind = {"nperseg": 4096, "noverlap": 3072}
    _, _, x = stft(mix, **kind)
    sizes = np.stack([np.abs(stft(r, **kind)[2]) for r in references.values()])
    total = sizes.sum(axis=0) + 1e-12
    return {
        name: istft(x * (size / total), **kind)[1][:, : mix.shape[1]]
        for name, size in zip(references, sizes, strict=True)
    }


def separate(name, mix, rate):
    """Run an engine as the product does: in overlapped chunks, stems summing to the mix."""
    runner = engine(name, EngineOptions())
    if runner.card.sample_rate_hz not in {None, rate}:
        raise SystemExit(
            f"{name} works at {runner.card.sample_rate_hz} Hz, the song is at {rate} Hz"
        )
    plan = ChunkPlan.of(
        mix.shape[1], chunk=round(runner.chunk_s * rate), overlap=round(runner.overlap_s * rate)
    )
    ramp = (np.arange(plan.overlap) + 0.5) / max(plan.overlap, 1)
    out = {stem: np.zeros_like(mix) for stem in runner.card.stems}
    for index in range(plan.count):
        start = index * plan.hop
        chunk = mix[:, start : start + plan.hop + plan.overlap]
        stems = runner.separate(chunk, rate, JobContext())
        share_residual(stems, chunk, rate)
        gain = np.ones(chunk.shape[1])
        if index > 0:
            gain[: plan.overlap] = ramp
        if index < plan.count - 1:
            gain[-plan.overlap :] = 1 - ramp
        for stem, audio in stems.items():
            out[stem][:, start : start + chunk.shape[1]] += audio * gain
    return {STAND_FOR.get(stem, stem): audio for stem, audio in out.items()}


def figure(reference, estimate, mix):
    """SDR in dB, or (where the reference is silent) leak in dB relative to the mix."""
    error = np.sum((reference - estimate).astype(np.float64) ** 2)
    energy = np.sum(reference.astype(np.float64) ** 2)
    total = np.sum(mix.astype(np.float64) ** 2)
    if energy < 1e-8 * total:
        return None, 10 * np.log10(error / total + 1e-12)
    return 10 * np.log10(energy / error), None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", type=Path, nargs="+")
    parser.add_argument("--engine", action="append", dest="engines")
    args = parser.parse_args()
    engines = args.engines or ["dsp"]
    columns = ["mix/4", *engines, "oracle"]
    table = {(c, s): [] for c in columns for s in STEMS}
    width = max(12, *(len(c) for c in columns)) + 2
    print(f"{'song':34s}{'stem':8s}" + "".join(f"{c:>{width}s}" for c in columns))
    for folder in sorted(
        p
        for f in args.songs
        for p in f.iterdir()
        if (p / "drums.flac").exists() or (p / "drums.wav").exists()
    ):
        mix, rate = read(folder, "mix")
        references = {stem: read(folder, stem)[0] for stem in STEMS}
        estimates = {"mix/4": dict.fromkeys(STEMS, mix / 4), "oracle": ratio_masks(mix, references)}
        factors = {}
        for name in engines:
            began = time.perf_counter()
            estimates[name] = separate(name, mix, rate)
            factors[name] = (time.perf_counter() - began) / (mix.shape[1] / rate)
        for stem in STEMS:
            cells = ""
            for column in columns:
                estimate = estimates[column].get(stem)
                if estimate is None:
                    cells += f"{'-':>{width}s}"
                    continue
                sdr, leak = figure(references[stem], estimate, mix)
                if sdr is not None:
                    table[column, stem].append(sdr)
                cell = f"{sdr:.2f}" if sdr is not None else f"({leak:.1f})"
                cells += f"{cell:>{width}s}"
            print(f"{folder.name:34s}{stem:8s}{cells}")
        print(
            f"{'':34s}{'RTF':8s}{'':{width}s}"
            + "".join(f"{factors[name]:>{width}.3f}" for name in engines),
            flush=True,
        )
    for stem in STEMS:
        cells = "".join(
            f"{np.mean(table[c, stem]):>{width}.2f}" if table[c, stem] else f"{'-':>{width}s}"
            for c in columns
        )
        print(f"{'mean':34s}{stem:8s}{cells}")
    overall = [[v for s in STEMS for v in table[c, s]] for c in columns]
    print(
        f"{'mean of all':42s}"
        + "".join(f"{np.mean(v) if v else np.nan:>{width}.2f}" for v in overall)
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
