"""Files to arrays and back: the one room that knows audio formats and array layout."""

from workstation.audio.arrays import FloatArray
from workstation.audio.decode import (
    DECODABLE_SUFFIXES,
    AudioInfo,
    AudioReader,
    open_audio,
    probe,
    read_audio,
)
from workstation.audio.encode import (
    ENCODINGS,
    AudioWriter,
    Encoding,
    check_encoding,
    suffix_of,
    write_audio,
)
from workstation.audio.excerpts import Excerpts
from workstation.audio.files import atomic_file, file_sha256, need_space, writing
from workstation.audio.float_wav import FloatWav, map_samples
from workstation.audio.loudness import Loudness
from workstation.audio.resampling import resample
from workstation.audio.stem_mp4 import StemMp4Writer, StemTrack, stem_tracks
from workstation.audio.tags import Tags, read_tags
from workstation.audio.wav_chunks import Bext, Cue, Loop, add_wav_chunks

__all__ = [
    "DECODABLE_SUFFIXES",
    "ENCODINGS",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Bext",
    "Cue",
    "Encoding",
    "Excerpts",
    "FloatArray",
    "FloatWav",
    "Loop",
    "Loudness",
    "StemMp4Writer",
    "StemTrack",
    "Tags",
    "add_wav_chunks",
    "atomic_file",
    "check_encoding",
    "file_sha256",
    "map_samples",
    "need_space",
    "open_audio",
    "probe",
    "read_audio",
    "read_tags",
    "resample",
    "stem_tracks",
    "suffix_of",
    "write_audio",
    "writing",
]
