"""The embedded default engine: four stems on any machine, without any download.

It joins the cues of classical systems in one soft-mask (Wiener-like) estimate. With X the
short-time spectrum of the mix (window 93 ms, hop 23 ms), turned into mid and side, a stem is

    S = m(cues)·X_mid  and  s(cues)·X_side,   with masks m, s ≥ 0 that sum to 1 over the stems,

so that the stems sum to the mix. Masks only weigh what is there: phase is the mix's.

The cues, per band (10.8 Hz wide at the bottom, 1 % of the frequency above 1 kHz): level;
level above the band's mean; harmonic against percussive share by two median filterings
(HPSS: Fitzgerald, DAFx 2010); share of the repeating background (REPET-SIM: Rafii and Pardo,
ISMIR 2012); share of the side signal, distance from the centre, coherence of the channels
(as in ADRess: Barry 2004); steadiness of phase (complex-domain prediction: Bello et al.
2004); group delay. They are computed in `dsp_cues`.

The join (`dsp_join`) is learned: a small convolutional and recurrent network of 0.23 million
parameters, 0.45 MB at half precision. `tests/benchmarks/fit_dsp.py` fitted it for the highest
SDR, in half an hour on two CPU cores, to random mixes of three songs of "everythingisremixed"
(ichbinsoftware, CC0) and 134 self-made songs of sampled drums, basses, guitars, pianos and
sung phrases (CC0; drums CC BY 4.0 by DrumGizmo.org), FluidR3 sounds (MIT) and synthesised
basses and voices.

Plain SDR on six songs that had no part in the fit (mix over four / this engine / ratio masks
of the true magnitudes): drums 1.4 / 5.6 / 11.4, bass 1.1 / 3.4 / 9.7, other 1.2 / 2.7 / 10.4,
vocals 1.1 / 4.9 / 12.1, all 1.2 / 4.2 / 10.9 dB. Three of them are other songs of the same
artist (3.1 dB; one, whose low synthesiser strikes like a kick, 1.5), three were made with
FluidR3 as well (5.2 dB): expect less of music that is neither.

What it cannot do: remove one of two sounds in the same band at the same moment; tell a
synthesiser's bass line from a bass; tell a voice from a solo instrument that sings as it
does. Networks trained on hundreds of songs (`htdemucs`) are far better: use them if you can.
"""

from __future__ import annotations

import numpy as np

from workstation.model import JobContext
from workstation.separate.dsp_cues import ComplexArray, Grid, cues, measure
from workstation.separate.dsp_join import masks, shipped_parameters
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator

STEMS = ("drums", "bass", "other", "vocals")


class Dsp:
    """The `dsp` engine; see the module's docstring."""

    chunk_s: float = 60.0
    overlap_s: float = 4.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="dsp",
            summary="Classical cues joined in one soft mask: quick, rough, works anywhere.",
            stems=STEMS,
            family="instrument",
            code_licence="MIT",
            weights_licence="MIT; fitted in part to drum samples by DrumGizmo.org (CC BY 4.0)",
            realtime_factor=0.05,
            source="HPSS (Fitzgerald 2010), REPET-SIM (Rafii and Pardo 2012), spatial cues",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of any rate and number of channels into four stems that sum to it.

        Args:
            mix: float32, shape (channels, frames).
            rate_hz: Sample rate in Hz.
            job: Progress out, cancellation in.

        Returns:
            A float32 array of the shape of `mix` for drums, bass, other and vocals.
        """
        stems = {name: np.zeros_like(mix) for name in STEMS}
        if not mix.any():
            return stems
        grid = Grid.of(rate_hz)
        powers = measure(_stereo(mix), grid, job.part(0.0, 0.15))
        found = cues(powers, job.part(0.15, 0.45))
        shares = masks(found, shipped_parameters(), job.part(0.45, 0.85))
        last = job.part(0.85, 1.0)
        columns = grid.columns(mix.shape[1])
        for first, spectrum in grid.spectra(mix):
            job.check()
            last.report(first / columns)
            for index, stem in enumerate(stems.values()):
                part = shares[:, index, first : first + spectrum.shape[1]]
                grid.add(stem, first, _masked(spectrum, *grid.spread(part)))
        return stems


def _stereo(mix: FloatArray) -> FloatArray:
    """Fold any number of channels to two, near -20 dB: the even ones left, the odd ones right."""
    odd = mix[1::2] if mix.shape[0] > 1 else mix
    stereo = np.stack([mix[0::2].mean(axis=0), odd.mean(axis=0)])
    rms = float(np.sqrt(np.mean(stereo.astype(np.float64) ** 2)))
    # Scaling by a power of two is exact, so that a quiet mix is split like a loud one.
    return np.ldexp(stereo, round(np.log2(0.1 / rms))) if rms > 0 else stereo


def _masked(spectrum: ComplexArray, mid: FloatArray, side: FloatArray) -> ComplexArray:
    """Apply one mask to the mid and one to the side of every pair of channels.

    Args:
        spectrum: Shape (channels, columns, bins); a last odd channel is all mid.
        mid: Mask of shape (columns, bins).
        side: Mask of shape (columns, bins).
    """
    out = spectrum * mid
    even = spectrum[0:-1:2]
    odd = spectrum[1::2]
    # mid·(a + b)/2 ± side·(a - b)/2 is the mid mask alone plus a correction by the side.
    correction = (even - odd) * ((side - mid) / 2)
    out[0 : 2 * len(odd) : 2] += correction
    out[1::2] -= correction
    return out


def make_dsp(_options: EngineOptions) -> Separator:
    """Make the engine; it has no options."""
    return Dsp()
