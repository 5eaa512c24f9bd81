"""Where the sound goes: a device through PortAudio, JACK itself, or a silent clock.

Every output asks a `Render` for blocks, on a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import UnavailableError, UsageError

FloatArray = npt.NDArray[np.float32]
# Fills the mix (frames, 2), and the click if it has an output of its own; is told the time
# (monotonic, seconds) at which the first frame is heard.
Render = Callable[[FloatArray, FloatArray | None, float], None]

SILENT = "none"
JACK = "jack"


class OutputOptions(msgspec.Struct, frozen=True):
    """What the user asks of the output.

    Attributes:
        device: Part of the name of a device; `jack` is a JACK server, without PortAudio in
            between; `none` is the silent clock; None takes the system's default, and the
            silent clock where there is no device at all.
        rate_hz: Sample rate of the device; None asks for that of the stems.
        block_frames: Frames per block; None takes 256.
        channels: Outputs of the device for left and right, counted from 1.
        click_channels: Outputs of its own for the click; None mixes it in.
    """

    device: str | None = None
    rate_hz: int | None = None
    block_frames: int | None = None
    channels: tuple[int, int] = (1, 2)
    click_channels: tuple[int, int] | None = None


class OutputInfo(msgspec.Struct, frozen=True):
    """What was opened.

    Attributes:
        name: Of the device, with its host.
        rate_hz: Its sample rate.
        block_frames: Frames per block.
        latency_s: From rendering to hearing, as the system reports it.
        silent: Whether it is the silent clock.
        words: What the user should know about the choice; may be empty.
    """

    name: str
    rate_hz: int
    block_frames: int
    latency_s: float
    silent: bool = False
    words: str = ""


class Output(Protocol):
    """An opened output."""

    info: OutputInfo
    underflows: int

    def start(self, render: Render) -> None:
        """Begin to ask for blocks."""
        ...

    def close(self) -> None:
        """Stop asking. On a dead server this may never return."""
        ...


class Device(msgspec.Struct, frozen=True):
    """An output device of this machine."""

    name: str
    host: str
    channels: int
    rate_hz: float
    default: bool


def devices() -> list[Device]:
    """The output devices of this machine.

    Raises:
        UnavailableError: The PortAudio library is missing.
    """
    sounddevice = _portaudio()
    hosts = sounddevice.query_hostapis()
    default = _default_index(sounddevice)
    return [
        Device(
            device["name"],
            hosts[device["hostapi"]]["name"],
            device["max_output_channels"],
            device["default_samplerate"],
            index == default,
        )
        for index, device in enumerate(sounddevice.query_devices())
        if device["max_output_channels"] > 0
    ]


def _portaudio() -> Any:  # noqa: ANN401  (a module without types)
    try:
        import sounddevice
    except OSError as error:
        raise UnavailableError(
            "The PortAudio library is not on this machine.",
            "Install it: `apt install libportaudio2`, `dnf install portaudio`.",
        ) from error
    return sounddevice


def _default_index(sounddevice: Any) -> int | None:  # noqa: ANN401
    index = sounddevice.default.device[1]
    if index >= 0:
        return int(index)
    for host in sounddevice.query_hostapis():
        if host["default_output_device"] >= 0:
            return int(host["default_output_device"])
    return None


def open_output(options: OutputOptions, rate_hz: int) -> Output:
    """Open the output that the user asked for.

    Args:
        options: What was asked.
        rate_hz: Of the stems.

    Raises:
        UnavailableError: The device cannot be opened; a named one is never replaced.
        UsageError: There is no such device, or it has not these channels.
    """
    block = options.block_frames or 256
    if not 16 <= block <= 8192:
        raise UsageError(f"A block of {block} frames makes no sense.", "Choose 16 to 8192.")
    if options.device == SILENT:
        return SilentOutput(options.rate_hz or rate_hz, block)
    if options.device is not None and options.device.lower() == JACK:
        return _jack_output(options)
    try:
        sounddevice = _portaudio()
        index = _find_device(sounddevice, options.device)
    except UnavailableError as error:
        if options.device is not None:
            raise
        return SilentOutput(rate_hz, block, f"Playing on a silent clock. {error}")
    if index is None:
        words = "Playing on a silent clock: no audio device was found."
        return SilentOutput(rate_hz, block, words)
    device = sounddevice.query_devices(index)
    host = sounddevice.query_hostapis(device["hostapi"])["name"]
    if options.device is None and host.startswith("JACK"):
        # The same server by the shorter way, where the library for it is there.
        with contextlib.suppress(UnavailableError):
            return _jack_output(options)
    return PortAudioOutput(sounddevice, index, options, rate_hz, block)


def _jack_output(options: OutputOptions) -> Output:
    from workstation.perform.jack_output import JackOutput

    return JackOutput(options)


def _find_device(sounddevice: Any, name: str | None) -> int | None:  # noqa: ANN401
    if name is None:
        return _default_index(sounddevice)
    wanted = name.lower()
    found = []
    for index, device in enumerate(sounddevice.query_devices()):
        host = sounddevice.query_hostapis(device["hostapi"])["name"]
        full = f"{device['name']} ({host})".lower()
        if device["max_output_channels"] > 0 and wanted in full:
            found.append((full.split(" (")[0] != wanted, index))
    if not found:
        raise UsageError(
            f'There is no output device "{name}".', "See them with `workstation devices`."
        )
    return min(found)[1]


class SilentOutput:
    """No device: blocks are asked for by the clock of the system and thrown away."""

    def __init__(self, rate_hz: int, block_frames: int, words: str = "") -> None:
        self.info = OutputInfo("silent clock", rate_hz, block_frames, 0.0, silent=True, words=words)
        self.underflows = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, render: Render) -> None:
        """Begin to ask for blocks."""
        self._thread = threading.Thread(target=self._run, args=(render,), daemon=True)
        self._thread.start()

    def _run(self, render: Render) -> None:
        block = np.zeros((self.info.block_frames, 2), np.float32)
        period = self.info.block_frames / self.info.rate_hz
        due = time.monotonic()
        while not self._ended.is_set():
            render(block, None, due)
            due += period
            left = due - time.monotonic()
            if left > 0:
                self._ended.wait(left)
            elif left < -0.5:  # The machine slept: the song goes on from here.
                self.underflows += 1
                due = time.monotonic()

    def close(self) -> None:
        """Stop the clock."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(1.0)


class PortAudioOutput:
    """A device through PortAudio; at another rate than the stems' it is resampled."""

    def __init__(
        self,
        sounddevice: Any,  # noqa: ANN401
        index: int,
        options: OutputOptions,
        rate_hz: int,
        block: int,
    ) -> None:
        device = sounddevice.query_devices(index)
        host = sounddevice.query_hostapis(device["hostapi"])["name"]
        name = f"{device['name']} ({host})"
        wanted = (*options.channels, *(options.click_channels or ()))
        self._channels = max(wanted)
        if min(wanted) < 1 or self._channels > device["max_output_channels"]:
            raise UsageError(
                f"{name} has {device['max_output_channels']} outputs, "
                f"not the channels {', '.join(map(str, wanted))}.",
                "Choose others with --channels and --click-channels.",
            )
        self._pair = [c - 1 for c in options.channels]
        self._click_pair = [c - 1 for c in options.click_channels or ()]
        self._render: Render | None = None
        self.underflows = 0
        self._buffers = np.zeros((2, 8192, 2), np.float32)
        rates = (
            [options.rate_hz] if options.rate_hz else [rate_hz, int(device["default_samplerate"])]
        )
        for rate in rates:
            try:
                self._stream = sounddevice.RawOutputStream(
                    device=index,
                    samplerate=rate,
                    blocksize=block,
                    channels=self._channels,
                    dtype="float32",
                    latency="low",
                    callback=self._fill,
                )
                break
            except sounddevice.PortAudioError as error:
                last = error
        else:
            raise UnavailableError(
                f"{name} cannot be opened at {' or '.join(map(str, rates))} Hz: {_words(last)}.",
                "Close other programs that use it, or choose another with --device or --rate.",
            )
        self.info = OutputInfo(name, rate, block, float(self._stream.latency))

    def start(self, render: Render) -> None:
        """Begin to ask for blocks."""
        self._render = render
        self._stream.start()

    def _fill(self, buffer: Any, frames: int, times: Any, status: Any) -> None:  # noqa: ANN401
        if status.output_underflow:
            self.underflows += 1
        out = np.frombuffer(buffer, np.float32).reshape(-1, self._channels)
        heard_at = time.monotonic() + max(0.0, times.outputBufferDacTime - times.currentTime)
        assert self._render is not None
        if self._channels == 2 and self._pair == [0, 1]:
            self._render(out, None, heard_at)
            return
        mix, click = self._buffers[:, :frames]
        self._render(mix, click if self._click_pair else None, heard_at)
        out[:] = 0.0
        out[:, self._pair] = mix
        if self._click_pair:
            out[:, self._click_pair] += click

    def close(self) -> None:
        """Close the stream."""
        self._stream.abort()
        self._stream.close()


def _words(error: Exception) -> str:
    """The words of PortAudio without its codes."""
    return str(error).split(" [PaErrorCode")[0].removeprefix("Error opening RawOutputStream: ")
