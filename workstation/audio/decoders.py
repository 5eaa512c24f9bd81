"""The two libraries that decode audio, behind one shape.

libsndfile reads what it reads exactly: PCM in WAV, RF64, W64, AIFF, CAF and AU, FLAC, and Ogg
Vorbis in one or two channels. FFmpeg, through PyAV, reads the rest, MP3 among it: of the two it
is the one that keeps the length of every MP3 and writes nothing to the terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from workstation.audio.arrays import FloatArray
from workstation.audio.ffmpeg_decoder import FfmpegDecoder
from workstation.audio.soundfile_decoder import SoundFileDecoder

# First bytes of the files that libsndfile may read. MP3 is not among them on purpose.
_SOUNDFILE_STARTS = (
    b"RIFF",
    b"RF64",
    b"RIFX",
    b"FORM",
    b"fLaC",
    b"caff",
    b".snd",
    b"OggS",
    b"riff",
)


class Decoder(Protocol):
    """One stream of a file, from its start to its end.

    Attributes:
        container: `WAV`, `FLAC`, `MP3`, …
        codec: `PCM_24`, `FLOAT`, `aac`, …
        sample_rate_hz: Sample rate.
        channels: Number of channels.
        frames: Samples per channel if that is known without decoding.
        promised_s: Length that the header promises, if it does and can be believed.
        slack_s: How much less than promised is no damage: containers round.
    """

    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    frames: int | None
    promised_s: float | None
    slack_s: float

    def check_end(self) -> None:
        """Find out without decoding everything, where that is possible, if the end is there.

        Raises:
            InputError: The file is cut off or damaged.
        """
        ...

    def read(self, frames: int) -> FloatArray:
        """Get the next samples, shape (channels, n); n < `frames` only at the end."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_decoder(path: Path, stream: int) -> Decoder:
    """Open one audio stream of a file with the library that reads it exactly.

    Raises:
        InputError: The file is no audio, is damaged, or has no such stream.
    """
    import soundfile

    if stream == 0:
        with path.open("rb") as file:
            known = file.read(4).startswith(_SOUNDFILE_STARTS)
        if known:
            try:
                decoder = SoundFileDecoder(path)
            except soundfile.LibsndfileError:
                pass  # Damaged, or a codec it does not have; FFmpeg has the last word.
            else:
                if decoder.exact:
                    return decoder
                decoder.close()
    return FfmpegDecoder(path, stream)
