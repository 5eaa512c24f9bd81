"""The learned join of the `dsp` engine: from cues to one soft mask per stem, in plain numpy.

A small convolutional network (U-shaped over the bands, with one recurrent layer over time in
its middle, 0.2 million parameters) whose last step is a softmax over the stems: the masks of
every band sum to one. `tests/benchmarks/fit_dsp.py` fits it and writes the parameter file.
"""

from __future__ import annotations

import functools
from importlib.resources import files

import numpy as np

from workstation.model import JobContext
from workstation.separate.protocol import FloatArray

PARAMETERS = "dsp_weights.safetensors"
_BLOCK_COLUMNS = 16

Parameters = dict[str, FloatArray]


@functools.cache
def shipped_parameters() -> Parameters:
    """Read the parameters that ship with the package (stored at half precision)."""
    from safetensors.numpy import load

    data = files("workstation.separate").joinpath(PARAMETERS).read_bytes()
    return {name: value.astype(np.float32) for name, value in load(data).items()}


def masks(cues: FloatArray, parameters: Parameters, job: JobContext) -> FloatArray:
    """Compute the share of every stem in every band.

    Args:
        cues: Shape (columns, bands, cues).
        parameters: Kernels and biases by layer.
        job: Progress out, cancellation in.

    Returns:
        Shape (2, stems, columns, bands), for the mid and the side signal; not negative, sums
        to one over the stems.
    """
    layers = _Layers(parameters, job)
    fine = layers.conv("enter", cues, extra=parameters["place"])
    fine = layers.conv("fine", fine)
    job.report(0.25)
    middle = layers.down("down1", fine)
    middle += layers.conv("middle1", middle)
    middle += layers.conv("middle2", middle, dilation=2)
    coarse = layers.down("down2", middle)
    for name, dilation in (("coarse1", 1), ("coarse2", 2), ("coarse3", 4)):
        coarse += layers.conv(name, coarse, dilation=dilation)
    job.report(0.5)
    coarse += layers.context(coarse)
    coarse += layers.conv("coarse4", coarse)
    middle = layers.up("up2", coarse, middle)
    middle += layers.conv("late", middle)
    job.report(0.7)
    fine = layers.up("up1", middle, fine)
    fine = layers.conv("last", fine)
    scores = layers.dense("out", fine)
    scores = scores.reshape(*fine.shape[:2], 2, -1).transpose(2, 3, 0, 1)
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    job.report(1.0)
    shares: FloatArray = scores / scores.sum(axis=1, keepdims=True)
    return shares


class _Layers:
    """The kinds of layers; arrays are of shape (columns, bands, channels)."""

    def __init__(self, parameters: Parameters, job: JobContext) -> None:
        self._parameters = parameters
        self._job = job

    def dense(self, name: str, x: FloatArray) -> FloatArray:
        """Multiply the last axis by a matrix and add a bias."""
        kernel, bias = self._parameters[f"{name}.kernel"], self._parameters[f"{name}.bias"]
        y: FloatArray = x.reshape(-1, x.shape[-1]) @ kernel
        y += bias
        return y.reshape(*x.shape[:-1], -1)

    def conv(
        self, name: str, x: FloatArray, *, dilation: int = 1, extra: FloatArray | None = None
    ) -> FloatArray:
        """Convolve 3 × 3 (columns `dilation` apart), add a bias per band, and rectify."""
        kernel, bias = self._parameters[f"{name}.kernel"], self._parameters[f"{name}.bias"]
        columns, bands, channels = x.shape
        out = np.empty((columns, bands, kernel.shape[1]), np.float32)
        padded = np.zeros((_BLOCK_COLUMNS + 2 * dilation, bands + 2, channels), np.float32)
        patches = np.empty((_BLOCK_COLUMNS, bands, 9, channels), np.float32)
        for first in range(0, columns, _BLOCK_COLUMNS):
            self._job.check()
            count = min(_BLOCK_COLUMNS, columns - first)
            begin, end = max(first - dilation, 0), min(first + count + dilation, columns)
            padded[...] = 0
            at = begin - first + dilation
            padded[at : at + end - begin, 1:-1] = x[begin:end]
            for tap in range(9):
                row, shift = tap // 3 * dilation, tap % 3
                patches[:count, :, tap] = padded[row : row + count, shift : shift + bands]
            block = out[first : first + count]
            np.matmul(
                patches[:count].reshape(count * bands, -1),
                kernel,
                out=block.reshape(count * bands, -1),
            )
            block += bias if extra is None else bias + extra
            np.maximum(block, 0, out=block)
        return out

    def down(self, name: str, x: FloatArray) -> FloatArray:
        """Join every four bands into one, and rectify."""
        columns, bands, channels = x.shape
        return np.maximum(self.dense(name, x.reshape(columns, bands // 4, 4 * channels)), 0)

    def up(self, name: str, x: FloatArray, skipped: FloatArray) -> FloatArray:
        """Split every band into four, add what was skipped, and rectify."""
        y = self.dense(name, x).reshape(skipped.shape)
        y += skipped
        return np.maximum(y, 0, out=y)

    def context(self, x: FloatArray) -> FloatArray:
        """Let a recurrent layer, run both ways, see all bands of the whole chunk."""
        from workstation.separate.dsp_kernels import recurrent

        columns, bands, _ = x.shape
        few = np.maximum(self.dense("squeeze", x), 0)
        seen = np.maximum(self.dense("gather", few.reshape(columns, -1)), 0)
        ways = []
        for way, step in (("forward", 1), ("backward", -1)):
            self._job.check()
            driven = np.ascontiguousarray(self.dense(f"{way}.input", seen)[::step])
            kernel = self._parameters[f"{way}.state.kernel"]
            bias = self._parameters[f"{way}.state.bias"]
            ways.append(recurrent(driven, kernel, bias)[::step])
        told = np.maximum(self.dense("tell", np.concatenate(ways, axis=1)), 0)
        return self.dense("widen", told.reshape(columns, bands, -1))
