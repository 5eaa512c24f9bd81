"""What the `dsp` engine looks at: cues of classical separation systems on one grid of bands.

The time-frequency grid is fixed in seconds and hertz, so that a song looks the same at any
sample rate: windows of 93 ms every 23 ms, bands of 10.8 Hz up to 1.08 kHz and of a hundredth
of their frequency above, up to 15.7 kHz. What lies above shares the fate of the top band.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import FloatArray

BANDS = 368
CUES = 10
_LINEAR_BANDS = 100
_BAND_HZ = 44100 / 4096
_WINDOW_S = 4096 / 44100
_BLOCK_FRAMES = 64
_FLOOR = 1e-12

ComplexArray = npt.NDArray[np.complex64]


class Grid(msgspec.Struct, frozen=True):
    """Short-time Fourier transform and band edges for one sample rate.

    Attributes:
        window_frames: Length of the (periodic Hann) window, a multiple of four.
        edges: First bin of every band that lies below the Nyquist frequency, then the end.
    """

    window_frames: int
    edges: tuple[int, ...]

    @classmethod
    def of(cls, rate_hz: int) -> Grid:
        """Find the grid for a sample rate in Hz."""
        from scipy.fft import next_fast_len

        quarter = max(2, round(_WINDOW_S * rate_hz / 4))
        quick = (next_fast_len(n, real=True) for n in range(quarter * 19 // 20, quarter + 1))
        window = 4 * min(quick, key=lambda n: abs(n - quarter))
        edges = np.round(band_edges_hz() / _BAND_HZ * (_BAND_HZ * window / rate_hz))
        # Rounding must leave every band at least one bin.
        edges = np.maximum(edges, np.arange(BANDS + 1)).astype(int)
        below = edges[edges < window // 2 + 1]
        if len(below) <= BANDS:
            below = np.append(below, window // 2 + 1)
        return cls(window, tuple(int(edge) for edge in below))

    @property
    def hop_frames(self) -> int:
        """Frames from one window to the next."""
        return self.window_frames // 4

    @property
    def bands(self) -> int:
        """How many of the bands this sample rate has."""
        return len(self.edges) - 1

    def columns(self, frames: int) -> int:
        """Number of windows that cover so many frames, each frame by four."""
        return -(-frames // self.hop_frames) + 3

    def spectra(
        self, signal: FloatArray, *, ramped: bool = False
    ) -> Iterator[tuple[int, ComplexArray]]:
        """Yield the spectrum in blocks of columns.

        Args:
            signal: Shape (channels, frames).
            ramped: Multiply the window by a ramp from -1 to 1, which tells when things happen.

        Yields:
            Index of the first column, and an array of shape (channels, columns, bins).
        """
        from scipy.fft import rfft

        hop, size = self.hop_frames, self.window_frames
        window = self._window()
        if ramped:
            window = window * np.linspace(-1, 1, size, dtype=np.float32)
        total = self.columns(signal.shape[1])
        for first in range(0, total, _BLOCK_FRAMES):
            count = min(_BLOCK_FRAMES, total - first)
            start = (first - 3) * hop
            stretch = np.zeros((signal.shape[0], (count - 1) * hop + size), np.float32)
            begin, end = max(start, 0), min(start + stretch.shape[1], signal.shape[1])
            stretch[:, begin - start : end - start] = signal[:, begin:end]
            windows = np.lib.stride_tricks.sliding_window_view(stretch, size, axis=1)[:, ::hop]
            yield first, rfft(windows * window, axis=2)

    def add(self, out: FloatArray, first: int, spectrum: ComplexArray) -> None:
        """Overlap-add the inverse of a block of columns to a signal, in place.

        Args:
            out: Shape (channels, frames).
            first: Index of the block's first column.
            spectrum: Shape (channels, columns, bins).
        """
        from scipy.fft import irfft

        hop = self.hop_frames
        # Four Hann windows squared sum to 3/2 at every frame.
        pieces = irfft(spectrum, self.window_frames, axis=2) * (self._window() / np.float32(1.5))
        channels, count = pieces.shape[:2]
        total = np.zeros((channels, count + 3, hop), np.float32)
        quarters = pieces.reshape(channels, count, 4, hop)
        for quarter in range(4):
            total[:, quarter : quarter + count] += quarters[:, :, quarter]
        flat = total.reshape(channels, -1)
        start = (first - 3) * hop
        begin, end = max(start, 0), min(start + flat.shape[1], out.shape[1])
        out[:, begin:end] += flat[:, begin - start : end - start]

    def band_sum(self, per_bin: FloatArray) -> FloatArray:
        """Sum over the bins of every band: (..., bins) to (..., BANDS); absent bands are zero."""
        whole = np.zeros((*per_bin.shape[:-1], BANDS), np.float32)
        whole[..., : self.bands] = np.add.reduceat(
            per_bin[..., : self.edges[-1]], self.edges[:-1], axis=-1
        )
        return whole

    def spread(self, per_band: FloatArray) -> FloatArray:
        """Give every bin the value of its band: (..., BANDS) to (..., bins)."""
        bins = self.window_frames // 2 + 1
        index = np.searchsorted(self.edges, np.arange(bins), side="right") - 1
        return per_band[..., np.minimum(index, self.bands - 1)]

    def _window(self) -> FloatArray:
        n = np.arange(self.window_frames) / self.window_frames
        return (0.5 - 0.5 * np.cos(2 * np.pi * n)).astype(np.float32)


def band_edges_hz() -> npt.NDArray[np.float64]:
    """Edges of the bands in Hz, one more than there are bands."""
    linear = np.arange(_LINEAR_BANDS) * _BAND_HZ
    above = np.arange(BANDS + 1 - _LINEAR_BANDS)
    edges = np.concatenate([linear, _LINEAR_BANDS * _BAND_HZ * np.exp(above / _LINEAR_BANDS)])
    # A bin stands for half a bin's width on either side of it.
    edges[1:] -= _BAND_HZ / 2
    return edges


class Powers(msgspec.Struct, frozen=True):
    """Second-order statistics of a stereo signal: each of shape (columns, BANDS).

    Attributes:
        left: Power of the left channel.
        right: Power of the right channel.
        cross: Left times the conjugate of right, complex.
        steady: Power-weighted cosine of the second difference of phase over three columns:
            near one times the power where a steady partial sounds, near zero for noise.
        late: Power-weighted place of the sound in the window, from -1 to 1: the group delay.
    """

    left: FloatArray
    right: FloatArray
    cross: ComplexArray
    steady: FloatArray
    late: FloatArray


def measure(stereo: FloatArray, grid: Grid, job: JobContext) -> Powers:
    """Measure the powers in every band.

    Args:
        stereo: Shape (2, frames).
        grid: The grid for the signal's sample rate.
        job: Progress out, cancellation in.
    """
    columns = grid.columns(stereo.shape[1])
    left, right, real, imag, steady, late = np.zeros((6, columns, BANDS), np.float32)
    last = np.zeros((2, grid.window_frames // 2 + 1), np.complex64)
    spectra = zip(grid.spectra(stereo), grid.spectra(stereo, ramped=True), strict=True)
    for (first, spectrum), (_, ramped) in spectra:
        job.check()
        job.report(first / columns)
        x, y = spectrum
        part = slice(first, first + x.shape[0])
        left[part] = grid.band_sum(_power(x))
        right[part] = grid.band_sum(_power(y))
        cross = x * y.conj()
        real[part] = grid.band_sum(cross.real)
        imag[part] = grid.band_sum(cross.imag)
        middle = np.concatenate([last, x + y])
        last = middle[-2:]
        steady[part] = grid.band_sum(_steadiness(middle))
        late[part] = grid.band_sum((spectrum.conj() * ramped).real.sum(axis=0))
    return Powers(left, right, real + 1j * imag, steady, late)


def cues(powers: Powers, job: JobContext) -> FloatArray:
    """Compute the cues from the powers.

    In order: level; level above the band's own mean; harmonic share of two median filterings
    (Fitzgerald, DAFx 2010), one short and one long; share of the repeating background
    (REPET-SIM, Rafii and Pardo, ISMIR 2012); share of the side signal; distance from the
    centre of the stereo image; coherence of the channels; steadiness of phase; group delay.
    All lie roughly between -2 and 2.

    Args:
        powers: As `measure` gives them.
        job: Progress out, cancellation in.

    Returns:
        Shape (columns, BANDS, CUES).
    """
    total = powers.left + powers.right
    out = np.empty((*total.shape, CUES), np.float32)
    mean = float(total.mean()) + 1e-20
    level = np.log10(total / mean + 1e-7).astype(np.float32)
    out[..., 0] = level * 0.5
    out[..., 1] = (level - level.mean(axis=0)) * 0.5
    magnitude = np.sqrt(total)
    floor = _FLOOR * mean
    for place, (columns, bands) in enumerate(((11, 11), (43, 25))):
        job.check()
        out[..., 2 + place] = harmonic_share(magnitude, columns=columns, bands=bands)
        job.report(0.2 + 0.3 * place)
    out[..., 4] = background_share(magnitude, job)
    total = total + floor
    out[..., 5] = 0.5 - powers.cross.real / total
    out[..., 6] = np.abs(powers.left - powers.right) / total
    out[..., 7] = _coherence(powers, floor)
    middle = powers.left + powers.right + 2 * powers.cross.real + floor
    out[..., 8] = powers.steady / middle
    out[..., 9] = 2 * np.clip(powers.late / total, -1, 1)
    job.report(1.0)
    return out


def _power(x: ComplexArray) -> FloatArray:
    return x.real**2 + x.imag**2


def _steadiness(x: ComplexArray) -> FloatArray:
    """Power times cosine of the phase's second difference, for all columns but the first two."""
    before = x[1:-1]
    step = x[2:] * before.conj()
    last_step = before * x[:-2].conj()
    turn = (step * last_step.conj()).real
    size = np.abs(step) * np.abs(last_step)
    steady: FloatArray = turn / (size + np.float32(1e-30)) * _power(x[2:])
    return steady


def _box(x: FloatArray, columns: int, bands: int) -> FloatArray:
    from scipy.ndimage import uniform_filter

    smooth: FloatArray = uniform_filter(x, (columns, bands), mode="nearest")
    return smooth


def _coherence(powers: Powers, floor: float) -> FloatArray:
    left, right, real, imag = (
        _box(x, 7, 3) for x in (powers.left, powers.right, powers.cross.real, powers.cross.imag)
    )
    # Running sums may leave a little less than nothing where a silence begins.
    both = np.maximum(left, 0) * np.maximum(right, 0) + np.float32(floor) ** 2
    coherence: FloatArray = np.sqrt(np.minimum((real**2 + imag**2) / both, 1))
    return coherence


def harmonic_share(magnitude: FloatArray, *, columns: int, bands: int) -> FloatArray:
    """Share of what lasts against what strikes, by two median filters, between 0 and 1.

    Args:
        magnitude: Shape (columns, bands).
        columns: Odd length of the median along time.
        bands: Odd length of the median along frequency.
    """
    lasting = _medians(magnitude.T, columns).T ** 2
    striking = _medians(magnitude, bands) ** 2
    return lasting / (lasting + striking + np.float32(1e-30))


def _medians(x: FloatArray, size: int) -> FloatArray:
    from workstation.separate.dsp_kernels import running_median

    medians: FloatArray = running_median(np.ascontiguousarray(x), size)
    return medians


def background_share(magnitude: FloatArray, job: JobContext) -> FloatArray:
    """Share of the background that repeats elsewhere, between 0 and 1 (REPET-SIM).

    Every column's background is the median over the columns most like it (by the cosine of
    smoothed, compressed spectra) that lie at least 0.7 s away and from each other 0.2 s.

    Args:
        magnitude: Shape (columns, bands).
        job: Cancellation in.
    """
    from workstation.separate.dsp_kernels import background

    look = _box(np.sqrt(magnitude), 5, 1)
    look = look / (np.linalg.norm(look, axis=1, keepdims=True) + np.float32(1e-20))
    columns = magnitude.shape[0]
    share = np.ones_like(magnitude)
    for first in range(0, columns, _BLOCK_FRAMES):
        job.check()
        likeness = look[first : first + _BLOCK_FRAMES] @ look.T
        background(magnitude, likeness, first, share)
    return share
