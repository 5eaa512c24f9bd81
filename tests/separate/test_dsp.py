"""The embedded engine: what it promises about sums, silence, rates, channels and quality."""

import importlib.util
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.model import CancelledError, JobContext
from workstation.separate.dsp import STEMS, make_dsp
from workstation.separate.dsp_cues import BANDS, CUES, Grid, background_share, cues, measure
from workstation.separate.dsp_join import PARAMETERS, masks, shipped_parameters
from workstation.separate.protocol import EngineOptions, Separator

ENGINE = make_dsp(EngineOptions())


def music(rate_hz: int, seconds: float, channels: int = 2) -> np.ndarray:
    """Clicks, a low tone, a chord off the centre and noise: something for every stem."""
    rng = np.random.default_rng(7)
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    clicks = rng.standard_normal(t.size) * np.exp(-40 * (t % 0.5))
    low = np.sin(2 * np.pi * 55 * t)
    chord = sum(np.sin(2 * np.pi * f * t) for f in (440.0, 554.4, 659.3))
    pans = np.linspace(0.2, 1.0, channels)[:, None]
    mix = 0.2 * clicks + 0.2 * low + 0.1 * chord * pans
    return mix.astype(np.float32)


def sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    error = np.sum((reference - estimate).astype(np.float64) ** 2)
    return float(10 * np.log10(np.sum(reference.astype(np.float64) ** 2) / error))


def test_the_engine_follows_the_protocol_and_needs_no_download() -> None:
    assert isinstance(ENGINE, Separator)
    assert ENGINE.card.name == "dsp"
    assert ENGINE.card.stems == ("drums", "bass", "other", "vocals")
    assert ENGINE.card.download is None
    assert ENGINE.card.sample_rate_hz is None
    assert ENGINE.card.max_channels is None


def test_making_the_engine_and_its_card_imports_nothing_heavy() -> None:
    code = (
        "import sys; from workstation.separate.dsp import make_dsp;"
        "from workstation.separate.protocol import EngineOptions;"
        "make_dsp(EngineOptions()).card;"
        "print([m for m in ('torch', 'numba', 'librosa', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_stems_of_any_sample_rate_are_finite_and_sum_to_the_mix(rate_hz: int) -> None:
    mix = music(rate_hz, 2.0)
    stems = ENGINE.separate(mix, rate_hz, JobContext())
    assert tuple(stems) == STEMS
    for stem in stems.values():
        assert stem.shape == mix.shape
        assert stem.dtype == np.float32
        assert np.isfinite(stem).all()
    assert sdr_db(mix, sum(stems.values())) > 100


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_stems_of_any_number_of_channels_sum_to_the_mix(channels: int) -> None:
    mix = music(16000, 1.5, channels)
    stems = ENGINE.separate(mix, 16000, JobContext())
    assert all(stem.shape == mix.shape for stem in stems.values())
    assert sdr_db(mix, sum(stems.values())) > 100


@pytest.mark.parametrize("frames", [1, 2, 100, 1023, 1025, 5000])
def test_the_shortest_mixes_work(frames: int) -> None:
    mix = music(44100, 0.2)[:, :frames]
    stems = ENGINE.separate(mix, 44100, JobContext())
    np.testing.assert_allclose(sum(stems.values()), mix, atol=1e-5)


def test_silence_gives_silence() -> None:
    stems = ENGINE.separate(np.zeros((2, 30000), np.float32), 44100, JobContext())
    assert not any(stem.any() for stem in stems.values())


def test_a_silent_stretch_stays_silent_in_every_stem() -> None:
    mix = music(22050, 4.0)
    mix[:, 30000:60000] = 0
    for stem in ENGINE.separate(mix, 22050, JobContext()).values():
        assert np.abs(stem[:, 35000:55000]).max() == 0


def test_the_same_mix_gives_the_same_stems() -> None:
    mix = music(22050, 2.0)
    one, two = (ENGINE.separate(mix, 22050, JobContext()) for _ in range(2))
    for name in STEMS:
        np.testing.assert_array_equal(one[name], two[name])


def test_loudness_does_not_matter() -> None:
    mix = music(22050, 2.0)
    normal = ENGINE.separate(mix, 22050, JobContext())
    quiet = ENGINE.separate(mix * np.float32(2**-10), 22050, JobContext())
    for name in STEMS:
        np.testing.assert_allclose(quiet[name] * 2**10, normal[name], atol=2e-3)


def test_a_mono_mix_is_split_like_the_same_mix_in_two_equal_channels() -> None:
    mono = music(22050, 2.0, 1)
    one = ENGINE.separate(mono, 22050, JobContext())
    two = ENGINE.separate(np.repeat(mono, 2, axis=0), 22050, JobContext())
    for name in STEMS:
        np.testing.assert_allclose(np.repeat(one[name], 2, axis=0), two[name], atol=1e-5)


def test_cancelling_stops_the_work() -> None:
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        ENGINE.separate(music(22050, 2.0), 22050, job)


def test_progress_rises_to_the_end() -> None:
    seen: list[float] = []
    job = JobContext(lambda fraction, _label: seen.append(fraction))
    ENGINE.separate(music(22050, 6.0), 22050, job)
    assert len(seen) > 8
    assert seen == sorted(seen)
    assert seen[-1] > 0.9


@given(rate_hz=st.integers(4000, 200000))
@settings(max_examples=60, deadline=None)
def test_bands_lie_at_the_same_frequencies_at_any_rate(rate_hz: int) -> None:
    grid = Grid.of(rate_hz)
    edges = np.array(grid.edges)
    assert (np.diff(edges) > 0).all()
    assert grid.window_frames % 4 == 0
    assert edges[-1] <= grid.window_frames // 2 + 1
    # A quick length within 5 % is taken, in whole quarters of a frame each.
    assert abs(grid.window_frames / rate_hz - 4096 / 44100) < 0.05 * 4096 / 44100 + 4 / rate_hz
    if rate_hz >= 8000:
        here_hz = edges[[20, 100, 200]] * rate_hz / grid.window_frames
        there_hz = np.array(Grid.of(44100).edges)[[20, 100, 200]] * 44100 / 4096
        np.testing.assert_allclose(here_hz, there_hz, rtol=0.06)


@given(frames=st.integers(1, 20000), channels=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_spectra_added_again_give_the_signal_back(frames: int, channels: int, seed: int) -> None:
    signal = np.random.default_rng(seed).standard_normal((channels, frames)).astype(np.float32)
    grid = Grid.of(8000)
    out = np.zeros_like(signal)
    for first, spectrum in grid.spectra(signal):
        grid.add(out, first, spectrum)
    np.testing.assert_allclose(out, signal, atol=2e-5)


def test_cues_tell_strokes_from_tones_and_sides_from_the_centre() -> None:
    rate = 44100
    grid = Grid.of(rate)
    t = np.arange(4 * rate) / rate
    tone = np.sin(2 * np.pi * 538.3 * t)
    band = np.searchsorted(grid.edges, 538.3 * grid.window_frames / rate, side="right") - 1
    rng = np.random.default_rng(0)
    strokes = rng.standard_normal(t.size) * ((t % 0.5) < 0.01)

    def found(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        stereo = np.stack([left, right]).astype(np.float32)
        values = cues(measure(stereo, grid, JobContext()), JobContext())
        assert values.shape == (grid.columns(t.size), BANDS, CUES)
        assert np.isfinite(values).all()
        return values[60:120]

    centred, sided = found(tone, tone), found(tone, -tone)
    assert centred[:, band, 2].mean() > 0.9  # harmonic share
    assert centred[:, band, 8].mean() > 0.95  # steady phase
    assert centred[:, band, 5].mean() < 0.05  # side
    assert sided[:, band, 5].mean() > 0.95
    assert found(tone, 0 * tone)[:, band, 6].mean() > 0.95  # off the centre
    struck = found(strokes, strokes)
    sounding = struck[:, 250, 0] > struck[:, 250, 0].mean()
    assert struck[sounding][:, 250, 3].mean() < 0.2
    other = rng.standard_normal(t.size)
    assert found(other, rng.permutation(other))[:, 300, 7].mean() < 0.6 < centred[:, band, 7].mean()


def test_what_repeats_is_background_and_what_comes_once_is_not() -> None:
    rng = np.random.default_rng(1)
    loop = rng.random((40, 50)).astype(np.float32)
    magnitude = np.tile(loop, (8, 1))
    magnitude[150:158, 20:24] += 10
    share = background_share(magnitude, JobContext())
    assert share[150:158, 20:24].max() < 0.2
    assert np.median(share) > 0.95


@pytest.mark.parametrize("size", [3, 11, 43])
def test_the_running_median_is_that_of_scipy(size: int) -> None:
    from scipy.ndimage import median_filter

    from workstation.separate.dsp_kernels import running_median

    values = np.random.default_rng(size).integers(0, 9, (4, 120)).astype(np.float32)
    expected = median_filter(values, (1, size), mode="nearest")
    np.testing.assert_array_equal(running_median(values, size), expected)


def test_the_network_is_the_one_that_the_fitting_script_trains() -> None:
    import torch

    script = Path(__file__).parents[1] / "benchmarks" / "fit_dsp.py"
    spec = importlib.util.spec_from_file_location("fit_dsp", script)
    assert spec is not None
    assert spec.loader is not None
    fit_dsp = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit_dsp)
    torch.manual_seed(0)
    model = fit_dsp.Join().eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.normal_(layer.bias, 0, 0.2)
    torch.nn.init.normal_(model.place, 0, 0.2)
    torch.nn.init.normal_(model.out.weight, 0, 0.5)
    exported = {name: value.astype(np.float32) for name, value in model.export().items()}
    assert {name: value.shape for name, value in exported.items()} == {
        name: value.shape for name, value in shipped_parameters().items()
    }
    values = np.random.default_rng(4).standard_normal((60, BANDS, CUES)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(values).permute(2, 0, 1)[None])[0]
    assert float(expected.std()) > 0.05
    found = masks(values, exported, JobContext())
    np.testing.assert_allclose(found, expected.permute(2, 3, 0, 1).numpy(), atol=5e-3)


def test_masks_are_not_negative_and_sum_to_one() -> None:
    values = np.random.default_rng(3).standard_normal((50, BANDS, CUES)).astype(np.float32)
    shares = masks(values, shipped_parameters(), JobContext())
    assert shares.shape == (2, 4, 50, BANDS)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_the_parameters_are_small_and_finite() -> None:
    assert len(files("workstation.separate").joinpath(PARAMETERS).read_bytes()) <= 500_000
    assert all(np.isfinite(value).all() for value in shipped_parameters().values())


def test_clicks_and_a_low_tone_land_in_drums_and_bass() -> None:
    rate = 44100
    t = np.arange(8 * rate) / rate
    rng = np.random.default_rng(5)
    hats = 0.3 * rng.standard_normal(t.size) * np.exp(-60 * (t % 0.25))
    notes_hz = np.repeat([55.0, 65.4, 49.0, 73.4], 2 * rate)
    low = 0.3 * np.sin(2 * np.pi * np.cumsum(notes_hz) / rate)
    parts = {"drums": hats, "bass": low}
    mix = np.repeat((hats + low)[None], 2, axis=0).astype(np.float32)
    stems = ENGINE.separate(mix, rate, JobContext())
    for name, part in parts.items():
        assert sdr_db(np.repeat(part[None], 2, axis=0), stems[name]) > 3, name


@pytest.mark.parametrize(
    ("song", "least_db"),
    [("real/lithium", 2.0), ("real/potassium", 1.5), ("synthetic/waltz_96_D_3-4", 4.0)],
)
def test_songs_with_known_stems_come_apart(shared_data: Path, song: str, least_db: float) -> None:
    audio = {
        name: sf.read(shared_data / song / f"{name}.flac", dtype="float32", frames=44100 * 25)[0].T
        for name in (*STEMS, "mix")
    }
    stems = ENGINE.separate(audio["mix"], 44100, JobContext())
    found = [sdr_db(audio[name], stems[name]) for name in STEMS]
    assert np.mean(found) > least_db, found


def test_a_bass_that_is_silent_stays_low(shared_data: Path) -> None:
    mix = sf.read(shared_data / "real/francium/mix.flac", dtype="float32", frames=44100 * 25)[0].T
    bass = ENGINE.separate(mix, 44100, JobContext())["bass"]
    assert 10 * np.log10(np.sum(bass**2) / np.sum(mix**2)) < -9
