"""Practice mixes: one stem muted or up, at another tempo or pitch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workstation.audio import AudioWriter, FloatArray
from workstation.audio.stretching import check_stretch, stretch, stretched_frames
from workstation.model import JobContext, UsageError
from workstation.model.mixer import amplitude
from workstation.model.stem_roles import stems_with_role
from workstation.studio.stem_blocks import Rendered, StemBlocks, mix_file

if TYPE_CHECKING:
    from workstation.studio.session import Session

_MOST_UP_DB = 40.0


def make_practice(  # noqa: PLR0913  (what a user may choose)
    session: Session,
    stem: str,
    out: Path | str | None = None,
    *,
    up_db: float | None = None,
    tempo_percent: float = 100.0,
    semitones: float = 0.0,
    encoding: str = "float32",
    overwrite: bool = False,
    job: JobContext | None = None,
) -> Rendered:
    """Mix the song for practising one part: that part muted, or louder than the others.

    A stem that is up keeps its level and all others are lowered, so a mix never goes beyond
    full scale where the song and the stem do not. Separates first where that is missing.

    Args:
        session: The song; `session.practice(…)` is the same.
        stem: A stem, or a role whose parts are all taken: `drums` for kick, snare and so on.
        out: The file, `.wav` or `.flac`; None is `<title> - practice <stem>.wav`.
        up_db: By how much the stem stands out, 0 to 40 dB; None mutes it.
        tempo_percent: 50 (half as fast) to 150; other than 100 needs the extra `stretch`.
        semitones: -12 to 12; other than 0 needs the extra `stretch`.
        encoding: `float32`, `pcm24`, `pcm16`; `flac` follows from the name of the file.
        overwrite: Replace the file if it is there.
        job: Progress out, cancellation in.

    Raises:
        UsageError: There is no such stem, or a value is out of range.
        UnavailableError: The extra is not installed.
        ExistsError: The file is there.
    """
    if up_db is not None and not 0 <= up_db <= _MOST_UP_DB:
        raise UsageError(
            f"A stem cannot be up by {up_db:g} dB.", f"Give 0 to {_MOST_UP_DB:g}; 6 is usual."
        )
    check_stretch(tempo_percent, semitones)
    out, encoding = mix_file(session, f"practice {stem}", out, encoding, overwrite=overwrite)
    job = job or JobContext()
    session.separate(job=job.part(0.0, 0.7))
    stems = StemBlocks(session)
    gains = practice_gains(stems.names, stem, up_db)
    rate = stems.sample_rate_hz
    with AudioWriter(
        out, sample_rate_hz=rate, channels=stems.channels, encoding=encoding
    ) as writer:
        for block in _blocks(stems, gains, tempo_percent, semitones, job.part(0.7, 1.0, "Mixing")):
            writer.write(block)
    frames = stretched_frames(stems.frames, tempo_percent)
    return Rendered(out, frames / rate, writer.clipped_samples)


def practice_gains(stems: tuple[str, ...], wanted: str, up_db: float | None) -> dict[str, float]:
    """Gain of every stem as a factor.

    Raises:
        UsageError: There is no such stem.

    >>> practice_gains(("kick", "snare", "bass"), "drums", None)
    {'kick': 0.0, 'snare': 0.0, 'bass': 1.0}
    """
    chosen = [wanted] if wanted in stems else stems_with_role(stems, wanted)
    if not chosen:
        raise UsageError(f'There is no stem "{wanted}".', f"There are: {', '.join(stems)}.")
    own, rest = (0.0, 1.0) if up_db is None else (1.0, amplitude(-up_db))
    return {name: own if name in chosen else rest for name in stems}


def _blocks(
    stems: StemBlocks,
    gains: dict[str, float],
    tempo_percent: float,
    semitones: float,
    job: JobContext,
) -> Iterator[FloatArray]:
    if (tempo_percent, semitones) == (100, 0):
        return stems.blocks(gains, job)
    return stretch(
        lambda start, frames: stems.mix(gains, start, frames),
        stems.frames,
        stems.sample_rate_hz,
        tempo_percent=tempo_percent,
        semitones=semitones,
        job=job,
    )
