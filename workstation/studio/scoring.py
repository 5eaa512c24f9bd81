"""Scoring the stems of one song from files, here or in a process of its own.

Rules: all files have one sample rate, nothing is resampled. Estimates may be up to 0.1 s longer
or shorter than the truth, as lossy files are: they are cut or filled with silence. A mono file
sounds on every channel of the others. Stems that only one side has are left out, and named; the
true ones among them interfere all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import msgspec
import numpy as np

from workstation.audio import AudioInfo, AudioReader, FloatArray, open_audio, probe
from workstation.model import InputError, JobContext, WorkstationError
from workstation.model.names import shown
from workstation.separate.child import Trade, decode_path, give_order, take_order
from workstation.separate.ideal import ceilings_db
from workstation.separate.metrics import StemScores, score_stems
from workstation.studio.stem_sets import StemFile

_SLACK_S = 0.1
_TRADE = Trade(
    module="workstation.studio.scoring",
    name="scoring",
    killed="Score fewer songs at once with --jobs 1.",
    # Songs are done side by side: threads inside one would only be in each other's way.
    environment=dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        "1",
    ),
)


class ScoringOrder(msgspec.Struct, frozen=True):
    """A song to score: its name, its true stems, its estimates; whether with the ceiling."""

    song: str
    references: tuple[StemFile, ...]
    estimates: tuple[StemFile, ...]
    ceiling: bool = False


class SongScores(msgspec.Struct, frozen=True):
    """The scores of one song.

    Attributes:
        song: Its name.
        sample_rate_hz: Of all its files.
        duration_s: Length of the true stems.
        stems: Scores by the name of the stem.
        without_estimate: True stems that were not estimated; they interfere all the same.
        without_reference: Estimates whose truth is not known; they were left out.
        notes: In words, what was done to make the files fit.
    """

    song: str
    sample_rate_hz: int
    duration_s: float
    stems: dict[str, StemScores]
    without_estimate: tuple[str, ...] = ()
    without_reference: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def score_in_worker(order: ScoringOrder, job: JobContext) -> SongScores:
    """Score one song in a child process.

    Raises:
        WorkstationError: Whatever went wrong there.
        CancelledError: The job was cancelled.
    """
    return msgspec.convert(give_order(_TRADE, order, job), SongScores)


def score_song(order: ScoringOrder, job: JobContext) -> SongScores:
    """Score one song.

    Raises:
        InputError: A file cannot be read, or the files do not belong together.
        CancelledError: The job was cancelled.
    """
    places = {stem.name.lower(): place for place, stem in enumerate(order.references)}
    both = [stem for stem in order.estimates if stem.name.lower() in places]
    if not both:
        raise InputError(
            f"{shown(order.song)} has no estimate that is called like a true stem: there are "
            f"{_names(order.estimates)}, the truth has {_names(order.references)}.",
            "Name the files of estimates like those of the true stems.",
        )
    true = [probe(stem.path, stream=stem.stream, job=job) for stem in order.references]
    estimated = [probe(stem.path, stream=stem.stream, job=job) for stem in both]
    song = _Song(list(order.references), both, true, estimated)
    notes = song.check()
    own = [places[stem.name.lower()] for stem in both]
    found = score_stems(
        song.pieces(job.part(0.0, 0.7 if order.ceiling else 1.0)),
        stems=len(true),
        own=own,
        channels=song.channels,
        rate_hz=song.rate_hz,
    )
    if order.ceiling:
        ceilings = ceilings_db(song.true_pieces(job.part(0.7, 1.0)), song.rate_hz, job=job)
        found = [
            msgspec.structs.replace(scores, ceiling_db=ceilings[place])
            for scores, place in zip(found, own, strict=True)
        ]
    names = [order.references[place].name for place in own]
    estimates, references = {s.name for s in both}, {s.name.lower() for s in both}
    return SongScores(
        song=order.song,
        sample_rate_hz=song.rate_hz,
        duration_s=song.frames / song.rate_hz,
        stems=dict(zip(names, found, strict=True)),
        without_estimate=tuple(
            s.name for s in order.references if s.name.lower() not in references
        ),
        without_reference=tuple(s.name for s in order.estimates if s.name not in estimates),
        notes=tuple(notes),
    )


def _names(stems: Sequence[StemFile]) -> str:
    return ", ".join(shown(stem.name) for stem in stems)


class _Song:
    """The files of one song, that can be read in step."""

    def __init__(
        self,
        references: list[StemFile],
        estimates: list[StemFile],
        true: list[AudioInfo],
        estimated: list[AudioInfo],
    ) -> None:
        self._references, self._estimates = references, estimates
        self._infos = [*true, *estimated]
        self.rate_hz = true[0].sample_rate_hz
        self.frames = max(info.frames for info in true)
        self.channels = max(info.channels for info in self._infos)

    def check(self) -> list[str]:
        """See that the files belong together; tells what is done to make them fit.

        Raises:
            InputError: They do not.
        """
        notes = []
        for stem, info in zip((*self._references, *self._estimates), self._infos, strict=True):
            if info.sample_rate_hz != self.rate_hz:
                raise InputError(
                    f"{shown(info.path)} has {info.sample_rate_hz} Hz, "
                    f"{shown(self._infos[0].path)} has {self.rate_hz} Hz.",
                    "Give both at one rate; resampling one would change its scores.",
                )
            if info.channels not in {1, self.channels}:
                raise InputError(
                    f"{shown(info.path)} has {info.channels} channels, others have "
                    f"{self.channels}.",
                    "Give all stems with one layout (mono ones may be among them).",
                )
            off_s = (info.frames - self.frames) / self.rate_hz
            if abs(off_s) > _SLACK_S:
                raise InputError(
                    f"{shown(info.path)} is {abs(off_s):.2f} s "
                    f"{'longer' if off_s > 0 else 'shorter'} than the true stems.",
                    "Give stems and estimates of the same song, of the same length.",
                )
            if info.channels < self.channels:
                notes.append(f"{stem.name}: mono, taken on all {self.channels} channels")
            if off_s:
                what = "cut" if off_s > 0 else "filled with silence"
                notes.append(f"{stem.name}: {abs(1000 * off_s):.1f} ms {what} at its end")
        return list(dict.fromkeys(notes))

    def pieces(self, job: JobContext) -> _Pieces:
        """A function that reads the song in pieces."""
        stems = [*self._references, *self._estimates]
        # The song is read twice: for the filters, then window by window.
        return _Pieces(self, stems, len(self._references), 2, job)

    def true_pieces(self, job: JobContext) -> Callable[[int], Iterator[FloatArray]]:
        """A function that reads the true stems alone in pieces."""
        read = _Pieces(self, self._references, len(self._references), 1, job)
        return lambda frames: (true for true, _ in read(frames))


class _Pieces:
    """Reads a song from its start, as often as it is called; see `metrics.Pieces`."""

    def __init__(
        self, song: _Song, stems: list[StemFile], true: int, times: int, job: JobContext
    ) -> None:
        self._song, self._stems, self._true, self._job = song, stems, true, job
        self._readings, self._times = 0, times

    def __call__(self, frames: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        share = 1 / self._times
        step = self._job.part(share * self._readings, share * (self._readings + 1), "scoring")
        self._readings += 1
        with ExitStack() as stack:
            readers = [
                stack.enter_context(open_audio(stem.path, stream=stem.stream))
                for stem in self._stems
            ]
            for start in range(0, self._song.frames, frames):
                step.check()
                step.report(start / self._song.frames)
                count = min(frames, self._song.frames - start)
                piece = np.zeros((len(readers), self._song.channels, count), np.float32)
                for samples, reader in zip(piece, readers, strict=True):
                    _fill(samples, reader)
                yield piece[: self._true], piece[self._true :]


def _fill(samples: FloatArray, reader: AudioReader) -> None:
    got = reader.read(samples.shape[1])  # Fewer at its end: the rest stays silent.
    samples[:, : got.shape[1]] = got


def _work(order: bytes, job: JobContext) -> SongScores:
    return score_song(_decode(order), job)


def _defect(order: bytes, words: str) -> WorkstationError:
    return WorkstationError(
        f"Scoring {shown(_decode(order).song)} failed: {words}.",
        f"This is a defect of workstation; the details are in {_TRADE.log}.",
    )


def _decode(order: bytes) -> ScoringOrder:
    return msgspec.json.decode(order, type=ScoringOrder, dec_hook=decode_path)


if __name__ == "__main__":
    take_order(_work, _defect)
