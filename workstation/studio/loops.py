"""Loop packs: whole bars of every stem, cut where the sections of the song start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from workstation.audio import AudioWriter, FloatArray, Loop, add_wav_chunks, writing
from workstation.model import BeatGrid, ExistsError, InputError, JobContext, Section, UsageError
from workstation.model.names import file_name, shown
from workstation.model.stem_roles import belongs_to
from workstation.session.own_folder import own_folder
from workstation.studio.stem_blocks import StemBlocks

if TYPE_CHECKING:
    from workstation.model import Key
    from workstation.studio.session import Session

_FADE_S = 0.0015
_SILENT_RMS = 0.001  # -60 dBFS.
_MOST_BARS = 64
_PITCHES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SHARPS = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb"}


class Cut(msgspec.Struct, frozen=True):
    """A stretch of whole bars: frames from `start` to before `end`.

    Attributes:
        number: Which section of the song it starts, from 1.
        label: Of that section.
        start: First frame.
        end: Frame after the last.
        bars: Its length in bars.
        beats: Its length in beats.
    """

    number: int
    label: str
    start: int
    end: int
    bars: int
    beats: int


class LoopPack(msgspec.Struct, frozen=True):
    """What was cut.

    Attributes:
        folder: Where the loops are.
        files: Their names.
        silent: How many cuts were left out because nothing sounds in them.
        clipped_samples: Samples beyond full scale that the encoding could not carry.
    """

    folder: Path
    files: tuple[str, ...]
    silent: int
    clipped_samples: int


def make_loops(
    session: Session,
    out: Path | str | None = None,
    *,
    bars: int = 4,
    encoding: str = "pcm24",
    overwrite: bool = False,
    job: JobContext | None = None,
) -> LoopPack:
    """Cut every stem into loops of whole bars, one at the start of every section.

    A loop is exactly as long as its bars on the beat grid, has fades of 1.5 ms at its ends and
    carries tempo, meter, key and loop points (`acid`, `smpl`). Cuts below -60 dBFS are left
    out. Separates and analyses first where that is missing.

    Args:
        session: The song; `session.loops(…)` is the same.
        out: The folder; None is `<title> - loops` in the working folder.
        bars: Length of a loop; a section that is shorter gives as many as it has.
        encoding: `pcm24`, `pcm16` or `float32`.
        overwrite: Replace loops of the same names.
        job: Progress out, cancellation in.

    Raises:
        UsageError: `bars` is not 1 to 64, or there is no such encoding.
        InputError: The song has no beat, or no whole bar.
        ExistsError: A loop is there and is not to be overwritten.
        CancelledError: The job was cancelled; none of the loops is there.
    """
    check_bars(bars, encoding)
    folder = loop_folder(session, out)
    job = job or JobContext()
    session.separate(job=job.part(0.0, 0.6))
    session.analyze(job=job.part(0.6, 0.7, "Analysing"))
    step = job.part(0.7, 1.0, "Cutting")
    return _cut(session, folder, bars, encoding, step, overwrite=overwrite)


def loops_beside(session: Session, bars: int) -> Callable[[Path, JobContext], list[str]]:
    """Cut the loops of an export, as `export` has it done."""

    def cut(folder: Path, job: JobContext) -> list[str]:
        try:
            pack = _cut(session, folder / "loops", bars, "pcm24", job, overwrite=False)
        except InputError as error:
            return [f"Loops: {error.problem}"]
        silent = f"; {pack.silent} in which nothing sounds were left out" if pack.silent else ""
        words = [
            f"Beside the project: loops/ holds {len(pack.files)} loops of up to {bars} bars, with "
            f"tempo and key in the files, for samplers and decks{silent}."
        ]
        if pack.clipped_samples:
            words.append(
                f"The peaks of the loops: {pack.clipped_samples} samples were beyond full scale, "
                "which their 24 bits cannot hold. `workstation loops SONG --encoding float32` "
                "keeps them."
            )
        return words

    return cut


def _cut(
    session: Session,
    folder: Path,
    bars: int,
    encoding: str,
    job: JobContext,
    *,
    overwrite: bool,
) -> LoopPack:
    analysis = session.analysis
    if analysis is None or analysis.grid is None:
        raise InputError(
            f"{shown(session.song.title)} has no beat to cut at.",
            "Give its beats first: `workstation analyze SONG --taps 0.5,1.0,…`.",
        )
    stems = StemBlocks(session)
    cuts = plan_cuts(analysis.grid, analysis.sections, bars, stems.sample_rate_hz, stems.frames)
    if not cuts:
        raise InputError(
            f"{shown(session.song.title)} has no whole bar to cut.", "Correct its beat grid."
        )
    from workstation.studio.project import clear_key

    names = {
        (stem, cut): _file_name(session.song.title, stem, cut, stems, clear_key(analysis))
        for cut in cuts
        for stem in stems.names
    }
    if not overwrite:
        _check_free(folder, names.values())
    made = _Cutter(stems, encoding, analysis.grid.beats_per_bar, clear_key(analysis))
    files = made.write(names, folder, job, overwrite=overwrite)
    return LoopPack(folder, tuple(files), made.silent, made.clipped_samples)


def loop_folder(session: Session, out: Path | str | None) -> Path:
    """Where loops go: what was asked for, or `<title> - loops`; never into the session's stems."""
    if out is None:
        out = file_name(f"{session.song.title} - loops", fallback="loops")
    session.check_apart(Path(out))
    return Path(out)


def check_bars(bars: int, encoding: str) -> None:
    """Refuse lengths and encodings that make no loop.

    Raises:
        UsageError: They do not.
    """
    if not 1 <= bars <= _MOST_BARS:
        raise UsageError(f"Loops of {bars} bars cannot be cut.", f"Give 1 to {_MOST_BARS}.")
    if encoding not in {"pcm24", "pcm16", "float32"}:
        raise UsageError(f"Loops cannot be {encoding}.", "Choose pcm24, pcm16 or float32.")


def plan_cuts(
    grid: BeatGrid, sections: Sequence[Section], bars: int, rate_hz: int, frames: int
) -> list[Cut]:
    """Where to cut: at the downbeat nearest to every section's start, as far as the song goes.

    >>> grid = BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=20)
    >>> [(c.start, c.end, c.bars) for c in plan_cuts(grid, [Section(0, 20, "A")], 4, 1000, 20000)]
    [(0, 8000, 4)]
    """
    sections = sections or [Section(grid.downbeats_s[0], frames / rate_hz, "A")]
    found: list[Cut] = []
    for number, section in enumerate(sections, start=1):
        first = _bar_near(grid, section.start_s)
        after = _bar_near(grid, section.end_s)
        count = min(bars, after - first)  # None in the pick-up before the first bar.
        while count and _frame(grid, first + count, rate_hz) > frames:
            count -= 1
        start = _frame(grid, first, rate_hz)
        if count < 1 or start < 0:
            continue
        end = _frame(grid, first + count, rate_hz)
        beats = round(grid.beat_of_bar(first + count) - grid.beat_of_bar(first))
        found.append(Cut(number, section.label, start, end, count, beats))
    return found


def _bar_near(grid: BeatGrid, time_s: float) -> int:
    at = grid.bar_at(time_s)
    start, after = grid.beat_of_bar(at.bar), grid.beat_of_bar(at.bar + 1)
    return max(1, at.bar + (at.beat - 1 >= (after - start) / 2))


def _frame(grid: BeatGrid, bar: int, rate_hz: int) -> int:
    return round(grid.time_at(grid.beat_of_bar(bar)) * rate_hz)


def _file_name(title: str, stem: str, cut: Cut, stems: StemBlocks, key: Key | None) -> str:
    """`Song - drums - 02 B - 4 bars 124 bpm Am.wav`; drums have no key."""
    bpm = 60.0 * cut.beats * stems.sample_rate_hz / (cut.end - cut.start)
    speed = f"{bpm:.0f}" if abs(bpm - round(bpm)) < 0.05 else f"{bpm:.1f}"
    length = "1 bar" if cut.bars == 1 else f"{cut.bars} bars"
    pitch = f" {short_key(key.name)}" if key and _is_pitched(stem) else ""
    begin = file_name(title, fallback="song", max_bytes=60)
    rest = f"{stem} - {cut.number:02d} {cut.label} - {length} {speed} bpm{pitch}"
    return f"{begin} - {file_name(rest, fallback=stem)}.wav"


def short_key(name: str) -> str:
    """A key as sample packs write it.

    >>> short_key("A minor"), short_key("Bb major")
    ('Am', 'Bb')
    """
    tonic, _, mode = name.partition(" ")
    return tonic + "m" * (mode == "minor")


def _is_pitched(stem: str) -> bool:
    return not belongs_to(stem, "drums")


def _root(key: Key | None, stem: str) -> int | None:
    if key is None or not _is_pitched(stem):
        return None
    tonic = key.name.partition(" ")[0]
    return _PITCHES.index(_SHARPS.get(tonic, tonic))


def _check_free(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if (folder / name).exists():
            raise ExistsError(
                f"{shown(folder / name)} is there already.",
                "Choose another folder with --out, or replace it with --overwrite.",
            )


class _Cutter:
    """Writes cuts of stems; counts those that are silent, and clipped samples."""

    def __init__(
        self, stems: StemBlocks, encoding: str, beats_per_bar: int, key: Key | None
    ) -> None:
        self._stems, self._encoding = stems, encoding
        self._beats_per_bar, self._key = beats_per_bar, key
        self.silent = 0
        self.clipped_samples = 0

    def write(
        self, names: dict[tuple[str, Cut], str], folder: Path, job: JobContext, *, overwrite: bool
    ) -> list[str]:
        """Write all loops, which get their names when the last one is complete."""
        made: list[str] = []
        new = not folder.exists()
        try:
            with own_folder(folder, ".loops-") as work, writing(folder):
                for index, ((stem, cut), name) in enumerate(names.items()):
                    job.check()
                    job.report(index / len(names))
                    if self._write_one(stem, cut, work / name):
                        made.append(name)
                if not overwrite:  # Others may have come while these were written.
                    _check_free(folder, made)
                for name in made:
                    (work / name).replace(folder / name)
        finally:
            if new:
                with suppress(OSError):  # Of an empty folder nothing is left.
                    folder.rmdir()
        return made

    def _write_one(self, stem: str, cut: Cut, path: Path) -> bool:
        samples = self._stems.read(stem, cut.start, cut.end - cut.start)
        if np.sqrt(np.mean(samples.astype(np.float64) ** 2)) < _SILENT_RMS:
            self.silent += 1
            return False
        rate = self._stems.sample_rate_hz
        with AudioWriter(
            path, sample_rate_hz=rate, channels=len(samples), encoding=self._encoding
        ) as writer:
            writer.write(faded(samples, rate))
        self.clipped_samples += writer.clipped_samples
        loop = Loop(
            frames=cut.end - cut.start,
            sample_rate_hz=rate,
            beats=cut.beats,
            beats_per_bar=self._beats_per_bar,
            root=_root(self._key, stem),
        )
        add_wav_chunks(path, loop=loop)
        return True


def faded(samples: FloatArray, rate_hz: int) -> FloatArray:
    """Samples with ends that rise from and fall to silence within 1.5 ms, against clicks."""
    length = min(round(_FADE_S * rate_hz), samples.shape[1] // 2)
    if length == 0:
        return samples
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)).astype(np.float32)
    out = samples.copy()
    out[:, :length] *= rise
    out[:, -length:] *= rise[::-1]
    return out
