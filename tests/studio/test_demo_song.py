import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pyloudnorm
import pytest
from scipy.signal import butter, sosfiltfilt

from workstation.model import BeatGrid
from workstation.studio.demo_instruments import RATE_HZ, Syllable, kick, sing
from workstation.studio.demo_song import compose

A_MINOR = {"A", "B", "C", "D", "E", "F", "G", "G#"}  # With the leading note of its dominant.
SILENT = 1e-6  # -120 dBFS: less than the last step of 16 bits, more than rounding in an FFT.
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@pytest.fixture(scope="module")
def song():
    return compose()


def power_spectrum(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    return np.fft.rfftfreq(len(samples), 1 / RATE_HZ), spectrum


def share_of_band(samples, low_hz, high_hz):
    hz, power = power_spectrum(samples)
    return power[(hz >= low_hz) & (hz < high_hz)].sum() / power.sum()


def lufs(samples):
    return pyloudnorm.Meter(RATE_HZ).integrated_loudness(samples.T.astype(np.float64))


def rms(samples):
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def test_the_mix_is_the_exact_sum_of_the_four_stems(song):
    assert list(song.stems) == ["drums", "bass", "other", "vocals"]
    total = np.zeros_like(song.mix)
    for stem in song.stems.values():
        assert stem.dtype == np.float32
        assert stem.shape == song.mix.shape
        total += stem
    assert song.mix.dtype == np.float32
    np.testing.assert_array_equal(song.mix, total)


def test_another_process_makes_the_same_samples_and_importing_it_is_light(song):
    program = (
        "import hashlib, sys\n"
        "from workstation.studio.demo_song import compose\n"
        "assert 'scipy' not in sys.modules\n"
        "for stem in compose().stems.values():\n"
        "    print(hashlib.sha256(stem.tobytes()).hexdigest())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    ours = [hashlib.sha256(stem.tobytes()).hexdigest() for stem in song.stems.values()]
    assert result.stdout.split() == ours


def test_it_lasts_as_long_as_a_demo_may(song):
    assert song.sample_rate_hz == RATE_HZ
    assert 40 <= song.mix.shape[1] / RATE_HZ <= 48


def test_the_beats_make_a_steady_grid_with_a_pick_up_of_two_beats(song):
    grid = BeatGrid(song.beats_s, song.downbeats, song.beats_per_bar)
    assert grid.bpm == song.bpm
    assert grid.steady
    assert song.beats_s[0] > 0.1
    assert song.downbeats[0] == 2
    assert song.beats_s[-1] < song.mix.shape[1] / RATE_HZ


def test_sections_begin_on_downbeats_and_sound_different(song):
    assert [name for _, name in song.sections] == ["Intro", "Verse", "Chorus", "Outro"]
    downbeats_s = {song.beats_s[i] for i in song.downbeats}
    starts = [start_s for start_s, _ in song.sections]
    assert all(min(abs(start - beat) for beat in downbeats_s) < 1e-9 for start in starts)
    cuts = [round(start * RATE_HZ) for start in starts]
    intro, verse, chorus = (song.mix[:, a:b] for a, b in itertools.pairwise(cuts))
    assert lufs(intro) + 1 < lufs(verse) < lufs(chorus) - 0.5
    for name in ("vocals", "bass"):
        before_s = 0.1  # The consonant of the first word may come before its beat.
        assert np.abs(song.stems[name][:, : cuts[1] - round(before_s * RATE_HZ)]).max() < SILENT


def test_a_kick_begins_within_a_millisecond_of_every_beat(song):
    drums = song.stems["drums"].mean(axis=0).astype(np.float64)
    attack = kick()[: round(0.03 * RATE_HZ)]
    reach = round(0.008 * RATE_HZ)
    for beat_s in song.beats_s:
        start = round(beat_s * RATE_HZ)
        around = drums[start - reach : start + reach + len(attack)]
        offset = int(np.argmax(np.correlate(around, attack, mode="valid"))) - reach
        assert abs(offset) <= 0.001 * RATE_HZ, f"{offset} samples at {beat_s:.3f} s"


def test_nothing_sounds_before_the_first_beat_and_the_kick_does_within_a_millisecond(song):
    first = round(song.beats_s[0] * RATE_HZ)
    assert np.abs(song.mix[:, :first]).max() < SILENT
    assert np.abs(song.mix[:, first : first + RATE_HZ // 1000]).max() > 0.05


def test_it_has_the_loudness_of_a_streamed_record_and_room_to_full_scale(song):
    assert -15.5 < lufs(song.mix) < -13
    assert np.abs(song.mix).max() < 10 ** (-1 / 20)


def test_no_stem_hides_behind_another(song):
    levels = [lufs(stem) for stem in song.stems.values()]
    assert max(levels) - min(levels) < 3


def test_there_is_no_offset_and_the_end_is_silent(song):
    for stem in song.stems.values():
        assert np.isfinite(stem).all()
        assert np.abs(stem.mean(axis=1, dtype=np.float64)).max() < 1e-6
        assert np.abs(stem[:, -1]).max() < SILENT


@pytest.mark.parametrize(
    ("name", "above_hz", "most"), [("bass", 9000, 1e-5), ("other", 19000, 6e-5)]
)
def test_notes_begin_and_end_without_clicks(song, name, above_hz, most):
    # A step of the wave has energy in every band; look where no partial of the stem is.
    high_pass = butter(8, above_hz, "highpass", fs=RATE_HZ, output="sos")
    assert np.abs(sosfiltfilt(high_pass, song.stems[name].astype(np.float64))).max() < most


def test_bass_and_chords_are_in_the_key(song):
    assert song.key == "A minor"
    hz, power = power_spectrum((song.stems["bass"] + song.stems["other"]).mean(axis=0))
    notes = 69 + 12 * np.log2(np.maximum(hz, 1) / 440)
    heard = (hz > 120) & (hz < 1200) & (np.abs(notes - np.round(notes)) < 0.3)
    classes = np.round(notes[heard]).astype(int) % 12
    chroma = np.bincount(classes, power[heard], minlength=12)
    strongest = {PITCH_CLASSES[i] for i in np.argsort(chroma)[-6:]}
    assert {"A", "C", "E"} <= strongest <= A_MINOR
    foreign = sum(chroma[PITCH_CLASSES.index(p)] for p in ("C#", "D#", "F#", "A#"))
    assert foreign < 0.05 * chroma.sum()


def test_the_voice_stands_in_the_middle_and_the_chords_are_wide(song):
    def width(stem):
        return rms(stem[0] - stem[1]) / rms(stem[0] + stem[1])

    assert np.array_equal(*song.stems["bass"])
    assert width(song.stems["vocals"]) < 0.2
    assert width(song.stems["other"]) > 0.4


@pytest.mark.parametrize(
    ("vowel", "formant_hz", "gap_hz"), [("a", 1220, 1900), ("i", 2790, 1200), ("e", 2330, 1300)]
)
def test_the_voice_sings_its_vowel_at_its_pitch(vowel, formant_hz, gap_hz):
    sung = sing([Syllable(0.0, 2.0, 57, vowel)], 0.5, np.random.default_rng(1))
    held = sung[RATE_HZ // 4 : RATE_HZ // 4 + RATE_HZ // 2]
    there = share_of_band(held, formant_hz - 220, formant_hz + 220)
    between = share_of_band(held, gap_hz - 220, gap_hz + 220)
    assert there > 3 * between

    shortest, longest = round(RATE_HZ / 400), round(RATE_HZ / 120)
    again = [float(held[:-lag] @ held[lag:]) for lag in range(shortest, longest)]
    pitch_hz = RATE_HZ / (shortest + int(np.argmax(again)))
    assert pitch_hz == pytest.approx(220, rel=0.02)


def test_a_consonant_without_voice_is_noise_above_the_voice():
    tune = [Syllable(0.0, 1.0, 57, "a"), Syllable(1.0, 1.0, 57, "a", "s")]
    sung = sing(tune, 0.5, np.random.default_rng(1))
    hiss = sung[round(0.43 * RATE_HZ) : round(0.49 * RATE_HZ)]
    vowel = sung[round(0.2 * RATE_HZ) : round(0.4 * RATE_HZ)]
    assert share_of_band(hiss, 4000, 12000) > 0.5
    assert share_of_band(vowel, 4000, 12000) < 0.05
