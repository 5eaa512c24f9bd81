"""Form: parts that differ are told apart, and alike ones are recognised."""

import itertools

import numpy as np
import pytest

from workstation.analyze import find_sections
from workstation.analyze.sections import _letter
from workstation.model import BeatGrid, JobContext

BAR_S = 2.0


def song(chord, drums, form):
    """Eight bars of drums and low chords (`a`), or of high chords alone (`b`), per letter."""
    parts = []
    for letter in form:
        if letter == "a":
            beat = drums.steady("rock", 120, 8 * BAR_S)[0][0]
            notes = np.concatenate([chord(c, BAR_S) for c in ([45, 48, 52], [41, 45, 48])] * 4)
            parts.append(beat + notes)
        else:
            parts.append(
                np.concatenate([chord(c, BAR_S) for c in ([76, 79, 83], [74, 78, 81])] * 4)
            )
    return np.concatenate(parts).astype(np.float32)


def test_boundaries_and_letters_follow_the_form(chord, drums, listen):
    samples = song(chord, drums, "abab")
    features, _ = listen(samples)
    grid = BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=64)
    sections = find_sections(features, grid, job=JobContext())
    assert [(s.start_s, s.end_s, s.label) for s in sections] == [
        (0.0, 16.0, "A"),
        (16.0, 32.0, "B"),
        (32.0, 48.0, "A"),
        (48.0, 64.0, "B"),
    ]


@pytest.mark.parametrize("first_beat_s", [0.0, 0.7, 1.9])
def test_sections_cover_the_song_without_gaps(chord, drums, listen, first_beat_s):
    samples = song(chord, drums, "ab")
    features, _ = listen(samples)
    grid = BeatGrid.constant(bpm=117, first_beat_s=first_beat_s, duration_s=32.0)
    sections = find_sections(features, grid, job=JobContext())
    assert sections[0].start_s == 0.0
    assert sections[-1].end_s == 32.0
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(sections))
    downbeats = {round(t, 6) for t in grid.downbeats_s}
    assert all(s.start_s in downbeats for s in sections[1:])


def test_one_uniform_part_is_one_section(drums, listen):
    features, _ = listen(drums.steady("click", 120, 24)[0])
    grid = BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=24)
    assert {s.label for s in find_sections(features, grid, job=JobContext())} == {"A"}


def test_letters_go_on_after_z():
    assert [_letter(i) for i in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]
