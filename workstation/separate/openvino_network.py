"""Hybrid Transformer Demucs computed by OpenVINO: the extra `fast`.

OpenVINO has no complex numbers: the short-time Fourier transforms at both ends of the network
stay here, in NumPy, and what lies between them is converted once (`openvino_export`) and kept in
the cache. Once it is there, neither torch nor demucs is loaded any more.
"""

from __future__ import annotations

import hashlib
import importlib.util
import queue
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workstation.config import cache_dir
from workstation.model import EngineError, JobContext, UnavailableError
from workstation.separate.child import Trade, give_order
from workstation.separate.protocol import FloatArray
from workstation.separate.segments import Check

VERSION = 1  # Of what is kept in the cache.
IR_FILE, FACTS_FILE = "network.xml", "facts.json"
EXACT_DB = 70.0
_BYTES_PER_CHANNEL_FRAME = 20
_WAIT_MS = 200
_TRADE = Trade(
    module="workstation.separate.openvino_export",
    name="conversion",
    killed="Close other programs, or remove the package openvino to do without it.",
)


class Facts(msgspec.Struct, frozen=True):
    """What is known of a converted network.

    Attributes:
        length: Frames that it sees at once.
        window: Frames of a window of its Fourier transform; a quarter of it is the hop.
        channels: Of its first layer.
        agreement_db: By precision, how far below its stems the difference to those of torch is.
    """

    length: int
    window: int
    channels: int
    agreement_db: dict[str, float]


class Conversion(msgspec.Struct, frozen=True):
    """An order to convert a checkpoint.

    Attributes:
        checkpoint: The file.
        trust: Load it although it is of unknown origin.
        segment_s: Seconds that it sees at once; None for what it was made for.
        folder: Where the converted network goes.
    """

    checkpoint: Path
    trust: bool
    segment_s: float | None
    folder: Path


def openvino_is_there() -> bool:
    """Whether the extra `fast` is installed."""
    return importlib.util.find_spec("openvino") is not None


def check_precision(precision: str) -> None:
    """Refuse a precision that this machine cannot compute in.

    Raises:
        UnavailableError: OpenVINO is not installed, or the processor has no bfloat16.
    """
    if precision == "f32":
        return
    if not openvino_is_there():
        raise UnavailableError(
            "Precision bf16 needs the package openvino, which is not installed.",
            "Install it: pip install 'workstation[fast]'.",
        )
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UnavailableError("This processor does not compute in bf16.", "Leave --precision out.")


class OpenVinoNetwork:
    """A converted network, behind `segments.Network`."""

    any_length = True  # A last segment is filled up with silence.

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.facts = msgspec.json.decode((folder / FACTS_FILE).read_bytes(), type=Facts)
        self.length = self.facts.length
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def bytes_each(self) -> int:
        """Memory that a segment takes while it is computed, about."""
        return _BYTES_PER_CHANNEL_FRAME * self.facts.channels * self.length

    def compile(self, precision: str, workers: int, threads: int) -> None:
        """Make it ready for so many workers.

        Raises:
            EngineError: OpenVINO cannot.
        """
        import openvino

        self._requests = queue.SimpleQueue()
        core = openvino.Core()
        # Otherwise the weights stay mapped beside the copy that the processor works with.
        core.set_property({"ENABLE_MMAP": False})
        try:
            compiled = core.compile_model(
                self._folder / IR_FILE,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": precision,
                    "NUM_STREAMS": str(workers),
                    "INFERENCE_NUM_THREADS": str(workers * threads),
                    "ENABLE_CPU_PINNING": "NO",  # A player beside it must find a free core.
                },
            )
        except RuntimeError as error:
            raise _failure(error) from error
        for _ in range(workers):
            request = compiled.create_infer_request()
            # Seen as arrays here, in one thread: where two threads are the first to turn a tensor
            # into an array at the same time, OpenVINO 2026.4 waits for itself for ever.
            inputs = [request.get_input_tensor(k).data for k in range(2)]
            self._requests.put((request, inputs))

    def window(self, frames: int) -> int:
        """How many frames it must see around a segment of so many: always its own length."""
        del frames
        return self.length

    def __call__(self, mix: FloatArray, check: Check) -> FloatArray:
        """Separate a window; see `segments.Network`."""
        check()
        spectrum = spectrum_of(mix, self.facts.window)
        request, inputs = self._requests.get()
        try:
            inputs[0][0], inputs[1][0] = spectrum, mix
            request.start_async()
            _wait(request, check)
            stems = signals_of(request.get_output_tensor(0).data[0], self.facts.window, self.length)
            stems += request.get_output_tensor(1).data[0]
        finally:
            self._requests.put((request, inputs))
        return stems


def _wait(request: Any, check: Check) -> None:  # noqa: ANN401  (a class of OpenVINO)
    """Wait until a request is done; stop it if the work should stop."""
    while not request.wait_for(_WAIT_MS):
        try:
            check()
        except BaseException:
            request.cancel()
            request.wait()
            raise


def converted(
    checkpoint: Path, *, trust: bool, segment_s: float | None, job: JobContext
) -> OpenVinoNetwork:
    """Take a checkpoint's converted network from the cache; the first time, convert it.

    Raises:
        InputError: The checkpoint is damaged, or not to be trusted.
        EngineError: OpenVINO cannot convert it, or gives other stems than torch.
        CancelledError: The job was cancelled.
    """
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    asked = "own" if segment_s is None else f"{segment_s:g}"
    folder = cache_dir() / "openvino" / f"{digest}-{asked}-{VERSION}"
    for _ in range(2):
        if not folder.is_dir():
            job.report(0.0, f"converting {checkpoint.stem} for OpenVINO (once)")
            order = Conversion(checkpoint.resolve(), trust, segment_s, folder)
            give_order(_TRADE, order, job)
        try:
            network = OpenVinoNetwork(folder)
        except (OSError, msgspec.MsgspecError):
            shutil.rmtree(folder, ignore_errors=True)  # Damaged: it is made anew.
            continue
        agreement = network.facts.agreement_db.get("f32", 0.0)
        if agreement < EXACT_DB:
            raise EngineError(
                f"OpenVINO's stems differ from those of torch ({agreement:.0f} dB).",
                "Remove the package openvino to do without it.",
            )
        return network
    raise _failure(RuntimeError(f"{folder} cannot be read"))


def _failure(error: Exception) -> EngineError:
    why = " ".join(str(error).split())[:200]
    return EngineError(
        f"OpenVINO cannot compute the network: {why}.",
        "Update the package openvino, or remove it to do without it.",
    )


# -- the ends of the network --------------------------------------------------------------


def spectrum_of(mix: FloatArray, size: int) -> FloatArray:
    """What Hybrid Demucs sees of a window: its spectrum, real and imaginary parts as channels.

    As in demucs, the signal is mirrored at both ends so that there are as many columns as hops,
    the transform is orthonormal, and the highest bin is left out.

    Args:
        mix: float32, shape (channels, frames).
        size: Window of the transform; a quarter of it is the hop.

    Returns:
        float32, shape (2 * channels, size // 2, columns).
    """
    from numpy.lib.stride_tricks import sliding_window_view
    from scipy.fft import rfft

    hop = size // 4
    columns = -(-mix.shape[1] // hop)
    margin = hop // 2 * 3
    padded = np.pad(mix, ((0, 0), (margin, margin + columns * hop - mix.shape[1])), mode="reflect")
    # Windows are centred on every hop; the first two would lie before the signal.
    around = np.pad(padded, ((0, 0), (size // 2, size // 2)), mode="reflect")
    views = sliding_window_view(around, size, axis=1)[:, 2 * hop :: hop][:, :columns]
    window = _hann(size) * np.float32(size**-0.5)
    spectrum = np.empty((2 * len(mix), size // 2, columns), np.float32)
    for channel, view in enumerate(views):
        bins = rfft(view * window, axis=1)[:, : size // 2].T
        spectrum[2 * channel], spectrum[2 * channel + 1] = bins.real, bins.imag
    return spectrum


def signals_of(spectra: FloatArray, size: int, frames: int) -> FloatArray:
    """Turn the spectra of stems back into signals.

    Args:
        spectra: float32, shape (stems, 2 * channels, size // 2, columns) as `spectrum_of` orders
            them.
        size: Window of the transform; a quarter of it is the hop.
        frames: Length of the signals.

    Returns:
        float32, shape (stems, channels, frames).
    """
    from scipy.fft import irfft

    stems, doubled, bins, columns = spectra.shape
    hop = size // 4
    window = _hann(size)
    parts = size // hop
    # Two silent columns follow; those before the first lie in what is cut off.
    squares = np.zeros((columns + parts + 3, hop), np.float32)
    for column in range(columns + 4):
        squares[column : column + parts] += (window * window).reshape(parts, hop)
    begin = size // 2 + hop // 2 * 3
    envelope = squares.ravel()[begin : begin + frames]
    signals = np.empty((stems, doubled // 2, frames), np.float32)
    for stem in range(stems):
        for channel in range(doubled // 2):
            pair = spectra[stem, 2 * channel : 2 * channel + 2]
            column_bins = np.zeros((columns, bins + 1), np.complex64)
            column_bins.real[:, :bins], column_bins.imag[:, :bins] = pair[0].T, pair[1].T
            blocks = (irfft(column_bins, size, axis=1) * window).reshape(columns, parts, hop)
            total = np.zeros((columns + parts + 3, hop), np.float32)
            for part in range(parts):
                total[2 + part : 2 + part + columns] += blocks[:, part]
            signals[stem, channel] = total.ravel()[begin : begin + frames] / envelope
    signals *= np.float32(size**0.5)
    return signals


def _hann(size: int) -> FloatArray:
    """The periodic Hann window."""
    turns = np.arange(size) * (2 * np.pi / size)
    window: FloatArray = (0.5 - 0.5 * np.cos(turns)).astype(np.float32)
    return window
