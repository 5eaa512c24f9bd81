"""Stems of noise, and what drives them, without a device."""

import numpy as np
import pytest

from workstation.model import BeatGrid
from workstation.model.controls import ControlChange
from workstation.model.take import Take
from workstation.perform.deck import Deck, Track
from workstation.perform.lines import GridLines
from workstation.perform.performer import Began, Ended, Performer

RATE = 8000
SECONDS = 12
NAMES = ("drums", "bass", "other", "vocals")


@pytest.fixture(scope="session")
def tracks():
    """Four stems: stereo noise, one mono, one of 5.1."""
    rng = np.random.default_rng(3)
    made = []
    for name, channels in zip(NAMES, (2, 1, 6, 2), strict=True):
        samples = rng.uniform(-0.2, 0.2, (RATE * SECONDS, channels)).astype(np.float32)
        made.append(Track(name, samples))
    return made


@pytest.fixture(scope="session")
def lines():
    """The lines of 120 bpm; the first downbeat is at 0.5 s, so a bar is 16000 frames."""
    grid = BeatGrid.constant(bpm=120, first_beat_s=0.5, duration_s=SECONDS)
    return GridLines(grid, RATE, RATE * SECONDS)


class Rig:
    """A performer that is rendered in blocks, and all that came out."""

    def __init__(self, tracks, lines, **options):
        self.deck = Deck(tracks, RATE)
        self.performer = Performer(self.deck, lines, **options)
        self.blocks = []

    def change(self, control, value=1.0, op="set", **options):
        self.performer.change(ControlChange(control, value, op, **options))

    def run(self, frames, block=64):
        """Render frames and give them."""
        out = np.zeros((frames, 2), np.float32)
        for start in range(0, frames, block):
            self.performer.render(out[start : start + block])
        self.blocks.append(out)
        return out

    @property
    def output(self):
        return np.concatenate(self.blocks)

    def takes(self):
        """The takes that were recorded so far."""
        self.performer.end_recording()
        takes, events = [], []
        for item in self.performer.happened:
            if isinstance(item, Began):
                began, events = item, []
            elif isinstance(item, Ended):
                takes.append(
                    Take(
                        f"Take {len(takes) + 1}",
                        self.performer.stems,
                        "dsp",
                        RATE,
                        began.start,
                        item.length_frames,
                        tuple(events),
                        over=began.over,
                    )
                )
            else:
                events.append(item)
        return takes


@pytest.fixture
def rig(tracks, lines):
    return Rig(tracks, lines)


@pytest.fixture
def make_rig(tracks, lines):
    return lambda **options: Rig(tracks, options.pop("lines", lines), **options)


def folded(track):
    """What a stem at unity sounds like, by another way than the deck's."""
    x = track.samples.astype(np.float64)
    if x.shape[1] == 1:
        return np.repeat(x, 2, axis=1)
    if x.shape[1] == 6:
        centre = x[:, 2] * np.sqrt(0.5)
        surround = x[:, 4:] * np.sqrt(0.5)
        return x[:, :2] + centre[:, None] + surround
    return x


def plain_mix(tracks):
    """The sum of all stems, in float64."""
    return sum(folded(track) for track in tracks)
