"""A network of the demucs family computed by torch: on processors without losing speed, on GPUs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np

from workstation.separate.protocol import FloatArray
from workstation.separate.segments import Check, Grid

_LOGGER = logging.getLogger(__name__)
# Measured on htdemucs and hdemucs_mmi: what a segment takes, per frame and channel of the
# first layer.
_BYTES_PER_CHANNEL_FRAME = 27
_SMALLEST_PART = 4
_EXACT = 1e-4


class TorchNetwork:
    """A network on a device, behind `segments.Network`.

    Where the memory of a GPU is too small, segments are computed in halves, then in quarters
    (overlapping and faded as segments are), and then by the processor.

    Attributes:
        trouble: What it had to do otherwise than it was asked, in words; empty if nothing.
    """

    def __init__(self, model: Any, device: str) -> None:  # noqa: ANN401  (a class of demucs)
        import torch

        self._model = model
        self._device = device
        self.length = int(model.samplerate * model.segment)
        self.any_length = type(model).__name__ == "HTDemucs"
        self._fills = bool(getattr(model, "use_train_segment", False))  # Up to its length.
        self._seen: int | None = None
        self.trouble = ""
        self._local = threading.local()
        if device == "cpu":
            # oneDNN works in this order inside: it need not turn every layer's numbers around.
            model.to(memory_format=torch.channels_last)
        model.to(device)
        for layer in model.modules():
            layer.register_forward_pre_hook(self._check)

    @property
    def bytes_each(self) -> int:
        """Memory that a segment takes while it is computed, about."""
        return _BYTES_PER_CHANNEL_FRAME * int(getattr(self._model, "channels", 64)) * self.length

    def window(self, frames: int) -> int:
        """How many frames it must see around a segment of so many."""
        if self._fills:
            return self.length
        if hasattr(self._model, "valid_length"):
            return int(self._model.valid_length(frames))
        return frames

    def __call__(self, mix: FloatArray, check: Check) -> FloatArray:
        """Separate a window; see `segments.Network`."""
        self._local.check = check
        while True:
            try:
                return self._separate(mix)
            except RuntimeError as error:
                if self._device == "cpu" or not out_of_memory(error):
                    raise
            self._make_room()

    def _check(self, *_: object) -> None:
        """Called before every layer."""
        self._local.check()

    def _separate(self, mix: FloatArray) -> FloatArray:
        if self._seen is None or mix.shape[1] <= self._seen:
            return self._forward(mix)
        grid = Grid(mix.shape[1], self._seen)
        total: FloatArray | None = None
        for offset in grid.offsets:
            # The last part sees as much as the others, from an earlier begin on.
            begin = min(offset, mix.shape[1] - self._seen)
            stems = self._forward(mix[:, begin : begin + self._seen])[:, :, offset - begin :]
            if total is None:
                total = np.zeros((*stems.shape[:2], mix.shape[1]), np.float32)
            size = grid.size(offset)
            total[:, :, offset : offset + size] += stems[:, :, :size] * grid.fade(offset)
        assert total is not None
        return total

    def _forward(self, mix: FloatArray) -> FloatArray:
        import torch

        with torch.inference_mode():
            window = torch.from_numpy(np.ascontiguousarray(mix))[None].to(self._device)
            stems: FloatArray = self._model(window)[0].cpu().numpy()
        return stems

    def _make_room(self) -> None:
        """See half as much at once from now on, and at last use the processor."""
        half = (self._seen or self.window(self.length)) // 2
        if half >= self.window(self.length) // _SMALLEST_PART:
            self._see(half)
            words = f"in segments of {half / self._model.samplerate:.1f} s"
        else:
            words = "with the processor"
            self._model.to("cpu")
        self.trouble = f"the memory of {self._device} is too small: going on {words}"
        if words == "with the processor":
            self._device = "cpu"
            self._see(None)
        _LOGGER.warning("%s.", self.trouble)
        _free_device_memory()

    def _see(self, frames: int | None) -> None:
        """Set how much the network sees at once; None for what it was made for."""
        if self._fills:
            self._model.segment = Fraction(frames or self.length, self._model.samplerate)
        self._seen = frames


@contextmanager
def exact_and_fast(threads: int) -> Iterator[None]:
    """Let torch compute in float32 on processors as fast as it can, with threads per worker.

    - Matrices are multiplied by oneDNN ("medium") where that is as exact as it is here: on
      processors that would really round to bfloat16, nothing is changed.
    - Self-attention takes the way of `scaled_dot_product_attention`, in blocks: the shortcut of
      `nn.MultiheadAttention` writes the whole matrix of scores to memory, which is slower.
    """
    import torch

    before = (
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.backends.mha.get_fastpath_enabled(),
    )
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("medium" if _medium_is_exact() else before[1])
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.backends.mha.set_fastpath_enabled(before[2])


def _medium_is_exact() -> bool:
    """Whether this processor multiplies in float32 where it is allowed to round."""
    import torch

    before = torch.get_float32_matmul_precision()
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn((2, 2, 256, 256), generator=random)
    products = []
    try:
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            products.append(torch.stack([torch.bmm(a, b), a @ b[0]]))
    finally:
        torch.set_float32_matmul_precision(before)
    exact, found = products
    return bool((found - exact).norm() <= _EXACT * exact.norm())


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


def _free_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
