"""Pictures of scores: box plots over songs, and spectrograms of stems beside their estimates."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workstation.audio import atomic_file, open_audio
from workstation.model import ExistsError, JobContext, UnavailableError
from workstation.model.names import file_name, shown, stem_colour
from workstation.studio.scoring import SongScores
from workstation.studio.stem_sets import SongPair, StemFile, stems_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from workstation.audio import FloatArray

_PANELS = {
    "sdr_db": "SDR, whole song",
    "window_sdr_db": "SDR, median of seconds",
    "sir_db": "SIR, median of seconds",
    "sar_db": "SAR, median of seconds",
}
_BOXES = "scores"
_SUFFIXES = ("png", "svg")
_FFT_FRAMES = 2048
_COLUMNS = 600
_ROWS = 240
_LOWEST_HZ = 30.0
_RANGE_DB = 80.0


def check_plots(folder: Path, *, overwrite: bool) -> None:
    """Find out before the work whether plots can be drawn.

    Raises:
        UnavailableError: matplotlib is not installed.
        ExistsError: There are plots in the folder, and they are not to be overwritten.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError(
            "Plots need matplotlib, which is not installed.",
            "Install it (pip install matplotlib), or leave out --plots.",
        )
    if not overwrite and any((folder / f"{_BOXES}.{suffix}").exists() for suffix in _SUFFIXES):
        raise ExistsError(
            f"{shown(folder)} holds plots already.", "Use --overwrite, or another folder."
        )


def draw(
    songs: Sequence[SongScores], pairs: Sequence[SongPair], folder: Path, job: JobContext
) -> None:
    """Draw `scores` over all songs, and `<song>` with its spectrograms, as PNG and SVG.

    Raises:
        OutputError: The folder cannot be written.
        CancelledError: The job was cancelled.
    """
    _save(_box_plots(songs), folder / _BOXES)
    for index, (scores, pair) in enumerate(zip(songs, pairs, strict=True)):
        step = job.part(index / len(pairs), (index + 1) / len(pairs))
        name = file_name(pair.name, fallback="song")
        _save(
            _spectrograms(scores, pair, step),
            folder / (f"{name} (song)" if name == _BOXES else name),
        )


def _save(figure: Figure, path: Path) -> None:
    for suffix in _SUFFIXES:
        with atomic_file(path.with_name(f"{path.name}.{suffix}")) as partial:
            figure.savefig(partial, format=suffix, dpi=120)


def _box_plots(songs: Sequence[SongScores]) -> Figure:
    from matplotlib.figure import Figure

    stems = list(dict.fromkeys(stem.lower() for song in songs for stem in song.stems))
    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (field, title) in zip(figure.subplots(2, 2).flat, _PANELS.items(), strict=True):
        values = [
            [
                value
                for song in songs
                for name, scores in song.stems.items()
                if name.lower() == stem and (value := getattr(scores, field)) is not None
            ]
            for stem in stems
        ]
        boxes = axes.boxplot(values, patch_artist=True, medianprops={"color": "black"})
        for index, (stem, box) in enumerate(zip(stems, boxes["boxes"], strict=True)):
            box.set_facecolor(stem_colour(stem, index))
        axes.set_xticks(range(1, len(stems) + 1), [_label(stem) for stem in stems])
        axes.set_title(title)
        axes.set_ylabel("dB")
        axes.grid(visible=True, axis="y", alpha=0.3)
    figure.suptitle(f"{len(songs)} song{'s' if len(songs) != 1 else ''}")
    return figure


def _label(text: str) -> str:
    """Text as it is: matplotlib takes what stands between two dollars for a formula."""
    return shown(text).replace("$", r"\$")


def _spectrograms(scores: SongScores, pair: SongPair, job: JobContext) -> Figure:
    from matplotlib.figure import Figure

    true = {stem.name.lower(): stem for stem in stems_at(pair.reference)}
    made = {stem.name.lower(): stem for stem in stems_at(pair.estimate)}
    figure = Figure(figsize=(12, 2.4 * len(scores.stems) + 0.8), layout="constrained")
    rows = figure.subplots(len(scores.stems), 2, squeeze=False, sharex=True, sharey=True)
    for index, (name, row) in enumerate(zip(scores.stems, rows, strict=True)):
        job.report(index / len(scores.stems), f"drawing {shown(pair.name)}")
        powers = [_spectrogram(side[name.lower()], job) for side in (true, made)]
        loudest = max(float(power.max()) for power in powers) or 1.0
        for axes, power, kind in zip(row, powers, ("true", "estimated"), strict=True):
            _show(axes, power / loudest, scores)
            axes.set_title(f"{_label(name)}, {kind}", fontsize=10)
            axes.label_outer()
    figure.suptitle(_label(pair.name))
    return figure


def _spectrogram(stem: StemFile, job: JobContext) -> FloatArray:
    """Mean power of a stem, shape (rows of rising pitch, columns of time), read in pieces."""
    window = np.hanning(_FFT_FRAMES).astype(np.float32)[:, None]
    columns = []
    with open_audio(stem.path, stream=stem.stream, job=job) as reader:
        frames = reader.frames or 0
        column = max(-(-frames // _COLUMNS), _FFT_FRAMES)
        for _ in range(0, frames, column):
            job.check()
            samples = reader.read(column)
            samples = np.pad(samples, ((0, 0), (0, max(_FFT_FRAMES - samples.shape[1], 0))))
            whole = samples.shape[1] // _FFT_FRAMES
            cut = samples[:, : whole * _FFT_FRAMES].reshape(-1, _FFT_FRAMES).T
            power = np.abs(np.fft.rfft(cut * window, axis=0)) ** 2
            columns.append(power.mean(axis=1, dtype=np.float32))
        rate = reader.sample_rate_hz
    bins = np.geomspace(_LOWEST_HZ, rate / 2, _ROWS) * _FFT_FRAMES / rate
    power_by_bin: FloatArray = np.stack(columns, axis=1)
    rows: FloatArray = power_by_bin[np.rint(bins).astype(int)]
    return rows


def _show(axes: Axes, power: FloatArray, scores: SongScores) -> None:
    level_db = 10 * np.log10(np.maximum(power, 10 ** (-_RANGE_DB / 10)))
    axes.imshow(
        level_db,
        origin="lower",
        aspect="auto",
        vmin=-_RANGE_DB,
        vmax=0,
        cmap="magma",
        extent=(0, scores.duration_s, 0, _ROWS - 1),
    )
    ticks_hz = [hz for hz in (100, 1000, 10000) if hz < scores.sample_rate_hz / 2]
    top = np.log(scores.sample_rate_hz / 2 / _LOWEST_HZ)
    places = [(_ROWS - 1) * float(np.log(hz / _LOWEST_HZ) / top) for hz in ticks_hz]
    axes.set_yticks(places, [f"{hz} Hz" for hz in ticks_hz])
    axes.set_xlabel("s")
