"""From sound to musical facts: beats, meter, key, form and loudness, as model values."""

from workstation.analyze.beats import track_beats
from workstation.analyze.features import Features, extract_features
from workstation.analyze.grid import Pulse, find_beats
from workstation.analyze.key import estimate_key
from workstation.analyze.meter import find_meter
from workstation.analyze.onsets import Onsets, onset_strength
from workstation.analyze.sections import find_sections
from workstation.analyze.song import analyze, find_grid
from workstation.analyze.source import ArraySource, BlockSource

__all__ = [
    "ArraySource",
    "BlockSource",
    "Features",
    "Onsets",
    "Pulse",
    "analyze",
    "estimate_key",
    "extract_features",
    "find_beats",
    "find_grid",
    "find_meter",
    "find_sections",
    "onset_strength",
    "track_beats",
]
