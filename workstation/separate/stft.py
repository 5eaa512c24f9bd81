"""The short-time Fourier transform of the classical engines, in single precision.

Spectra have the shape (channels, windows, bins): windows come before bins, so that the bins
of a window lie together in memory.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workstation.separate.protocol import FloatArray

ComplexArray = npt.NDArray[np.complex64]
_BATCH_WINDOWS = 64  # A batch stays in the processor's cache.


def window_size(rate_hz: int, seconds: float) -> int:
    """Length of a window of about `seconds`: the power of two that is nearest on a log scale.

    >>> window_size(44100, 0.046), window_size(192000, 0.046)
    (2048, 8192)
    """
    return int(max(64, 2 ** round(np.log2(rate_hz * seconds))))


def _hann(size: int) -> FloatArray:
    """The periodic Hann window."""
    turns = np.arange(size) * (2 * np.pi / size)
    window: FloatArray = (0.5 - 0.5 * np.cos(turns)).astype(np.float32)
    return window


def window_count(frames: int, size: int, hop: int) -> int:
    """How many windows `stft` makes of a signal of `frames`.

    One is centred on every `hop` frames. Where the last frames would then lie under the foot
    of the last window alone, one more follows: there `istft` would divide next to nothing by
    next to nothing, and a mask would turn that into a crack far above full scale.

    >>> window_count(4095, 2048, 512), window_count(4095, 2048, 1024)
    (8, 5)
    """
    return 1 + max(frames // hop, -(-(frames + hop - size // 2) // hop))


def stft(samples: FloatArray, size: int, hop: int) -> ComplexArray:
    """Transform a signal, with windows centred on every `hop` frames from frame 0 on.

    Args:
        samples: float32, shape (channels, frames); silence is assumed beyond both ends.
        size: Length of the periodic Hann window in frames, even.
        hop: Frames from one window to the next, at most size / 2.

    Returns:
        complex64, shape (channels, `window_count`, size // 2 + 1).
    """
    from numpy.lib.stride_tricks import sliding_window_view
    from scipy.fft import rfft

    windows = window_count(samples.shape[1], size, hop)
    after = (windows - 1) * hop + size // 2 - samples.shape[1]
    padded = np.pad(samples, ((0, 0), (size // 2, after)))
    views = sliding_window_view(padded, size, axis=1)[:, ::hop]
    spectrum = np.empty((*views.shape[:2], size // 2 + 1), np.complex64)
    window = _hann(size)
    for start in range(0, views.shape[1], _BATCH_WINDOWS):
        part = views[:, start : start + _BATCH_WINDOWS] * window
        spectrum[:, start : start + _BATCH_WINDOWS] = rfft(part, axis=2, overwrite_x=True)
    return spectrum


def istft(
    spectrum: ComplexArray, size: int, hop: int, frames: int, mask: FloatArray | None = None
) -> FloatArray:
    """Turn a spectrum back into a signal by weighted overlap-add (Griffin & Lim, 1984).

    Args:
        spectrum: complex64, shape (channels, windows, size // 2 + 1), as from `stft`.
        size: Length of the window in frames, a multiple of `hop`.
        hop: Frames from one window to the next.
        frames: Length of the signal.
        mask: float32, of the last two or of all dimensions of `spectrum`: what to multiply it by.

    Returns:
        float32, shape (channels, frames).
    """
    from scipy.fft import irfft

    channels, windows, _ = spectrum.shape
    window = _hann(size)
    parts = size // hop
    pieces = max(windows + parts, -(-(frames + size) // hop))
    total = np.zeros((channels, pieces, hop), np.float32)
    weight = np.zeros((pieces, hop), np.float32)
    squares = (window * window).reshape(parts, hop)
    for start in range(0, windows, _BATCH_WINDOWS):
        batch = spectrum[:, start : start + _BATCH_WINDOWS]
        if mask is not None:
            batch = batch * mask[..., start : start + _BATCH_WINDOWS, :]
        count = batch.shape[1]
        signal = (irfft(batch, size, axis=2) * window).reshape(channels, count, parts, hop)
        for part in range(parts):
            at = slice(start + part, start + part + count)
            total[:, at] += signal[:, :, part]
            weight[at] += squares[part]
    half = size // 2
    kept = np.maximum(weight.ravel()[half : half + frames], 1e-8)
    signals: FloatArray = total.reshape(channels, -1)[:, half : half + frames]
    signals /= kept
    return signals
