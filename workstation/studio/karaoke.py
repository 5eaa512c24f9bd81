"""Karaoke: the song without its lead voice, or with it softly as a guide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workstation.audio import AudioWriter
from workstation.model import InputError, JobContext, UsageError
from workstation.model.mixer import MAX_DB, amplitude
from workstation.model.stem_roles import stems_with_role
from workstation.studio.stem_blocks import Rendered, StemBlocks, mix_file

if TYPE_CHECKING:
    from workstation.studio.session import Session


def make_karaoke(
    session: Session,
    out: Path | str | None = None,
    *,
    guide_db: float | None = None,
    encoding: str = "float32",
    overwrite: bool = False,
    job: JobContext | None = None,
) -> Rendered:
    """Mix the song for singing: the voice left out, or as soft as a guide should be.

    Where the stems tell lead and backing vocals apart, only the lead is taken away. With a
    guide of 0 dB the file is the song. Separates first where that is missing.

    Args:
        session: The song; `session.karaoke(…)` is the same.
        out: The file, `.wav` or `.flac`; None is `<title> - karaoke.wav`.
        guide_db: Level of the voice in dB against the song's own; None leaves it out.
        encoding: `float32`, `pcm24`, `pcm16`; `flac` follows from the name of the file.
        overwrite: Replace the file if it is there.
        job: Progress out, cancellation in.

    Raises:
        InputError: No stem is a voice.
        UsageError: The guide is louder than +10 dB, or the file's name says another format.
        ExistsError: The file is there.
    """
    out, encoding = mix_file(session, "karaoke", out, encoding, overwrite=overwrite)
    if guide_db is not None and not guide_db <= MAX_DB:
        raise UsageError(
            f"A guide at {guide_db:g} dB is too loud.", f"Give at most {MAX_DB:g}; -18 is usual."
        )
    job = job or JobContext()
    session.separate(job=job.part(0.0, 0.7))
    stems = StemBlocks(session)
    voices = voices_of(stems.names)
    if not voices:
        raise InputError(
            f"None of the stems is a voice: {', '.join(stems.names)}.",
            "Separate with an engine that makes vocals, such as --engine dsp.",
        )
    guide = 0.0 if guide_db is None else amplitude(guide_db)
    gains = {name: guide if name in voices else 1.0 for name in stems.names}
    with AudioWriter(
        out, sample_rate_hz=stems.sample_rate_hz, channels=stems.channels, encoding=encoding
    ) as writer:
        for block in stems.blocks(gains, job.part(0.7, 1.0, "Mixing")):
            writer.write(block)
    return Rendered(out, stems.frames / stems.sample_rate_hz, writer.clipped_samples)


def voices_of(stems: tuple[str, ...]) -> list[str]:
    """The stems that a singer replaces: lead vocals if they are told apart, else all vocals.

    >>> voices_of(("drums", "lead_vocals", "backing_vocals"))
    ['lead_vocals']
    >>> voices_of(("drums", "Vox"))
    ['Vox']
    """
    return stems_with_role(stems, "lead_vocals") or stems_with_role(stems, "vocals")
