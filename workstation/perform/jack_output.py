"""JACK without a layer in between: sound and MIDI in one callback.

What a controller sends is there in the very block in which JACK brings it, so a change sounds
one or two blocks earlier than through PortAudio and the MIDI library.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from workstation.model import UnavailableError, UsageError
from workstation.perform.deck import FloatArray
from workstation.perform.outputs import OutputInfo, OutputOptions, Render

CLIENT = "workstation"
_LONGEST_BLOCK = 8192


def jack_is_running() -> bool:
    """Whether there is a JACK server, and the library to talk to it."""
    try:
        _client("workstation-probe").close()
    except UnavailableError:
        return False
    return True


def _client(name: str) -> Any:  # noqa: ANN401  (a module without types)
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        import jack
    except (ImportError, OSError) as error:
        raise UnavailableError(
            f"JACK's library cannot be loaded: {error}.", "Install libjack (or pipewire-jack)."
        ) from error
    try:
        return jack.Client(name, no_start_server=True)
    except jack.JackError as error:
        raise UnavailableError(
            f"No JACK server answers: {error}.", "Start one, or choose another --device."
        ) from error


class JackOutput:
    """Sound to a JACK server, and MIDI from it.

    Args:
        options: Channels count the physical playback ports of the server.

    Raises:
        UnavailableError: There is no JACK server.
        UsageError: The server has not these channels.
    """

    def __init__(self, options: OutputOptions) -> None:
        self._jack = _client(CLIENT)
        self.underflows = 0
        wanted = (*options.channels, *(options.click_channels or ()))
        self._targets = self._jack.get_ports(is_physical=True, is_input=True, is_audio=True)
        if min(wanted) < 1 or max(wanted) > len(self._targets):
            there = len(self._targets)
            self._jack.close()
            raise UsageError(
                f"JACK has {there} outputs, not the channels {', '.join(map(str, wanted))}.",
                "Choose others with --channels and --click-channels.",
            )
        names = ("left", "right", "click_left", "click_right")[: len(wanted)]
        self._ports = [self._jack.outports.register(name) for name in names]
        self._wanted = [self._targets[channel - 1] for channel in wanted]
        self._midi: list[tuple[Any, Callable[[bytes], None]]] = []
        self._render: Render | None = None
        self._expected: int | None = None
        self._mix = np.zeros((_LONGEST_BLOCK, 2), np.float32)
        self._click = np.zeros((_LONGEST_BLOCK, 2), np.float32)
        self._jack.set_process_callback(self._process)
        rate, block = self._jack.samplerate, self._jack.blocksize
        self.info = OutputInfo("JACK", rate, block, block / rate)

    def start(self, render: Render) -> None:
        """Begin to ask for blocks, and connect to the playback ports."""
        self._render = render
        self._jack.activate()
        for port, target in zip(self._ports, self._wanted, strict=True):
            self._jack.connect(port, target)

    def _process(self, frames: int) -> None:
        # Lost blocks are counted here: a callback for them would run on a thread that the
        # server waits for, while the MIDI library, in Python's lock, waits for the server.
        now = self._jack.last_frame_time
        if self._expected is not None and now != self._expected:
            self.underflows += 1
        self._expected = now + frames & 0xFFFFFFFF
        for port, receive in self._midi:
            for _offset, data in port.incoming_midi_events():
                receive(bytes(data))
        mix: FloatArray = self._mix[:frames]
        click: FloatArray | None = self._click[:frames] if len(self._ports) > 2 else None
        assert self._render is not None
        self._render(mix, click, time.monotonic() + self.info.latency_s)
        self._ports[0].get_array()[:] = mix[:, 0]
        self._ports[1].get_array()[:] = mix[:, 1]
        if click is not None:
            self._ports[2].get_array()[:] = click[:, 0]
            self._ports[3].get_array()[:] = click[:, 1]

    def open_midi_input(self, source: str, receive: Callable[[bytes], None]) -> JackMidiInput:
        """Hear a MIDI port; `receive` gets the bytes of every event, in the callback.

        Raises:
            UnavailableError: The port is gone.
        """
        number = 1 + max((int(p.shortname.rpartition("_")[2]) for p, _ in self._midi), default=0)
        port = self._jack.midi_inports.register(f"midi_in_{number}")
        entry = (port, receive)
        self._midi = [*self._midi, entry]  # The callback sees the old list or the new one.
        try:
            self._jack.connect(source, port)
        except Exception as error:
            self._close_midi(entry)
            raise UnavailableError(
                f"The MIDI port {source} cannot be connected: {error}.", "Plug it in again."
            ) from error
        return JackMidiInput(lambda: self._close_midi(entry))

    def _close_midi(self, entry: tuple[Any, Callable[[bytes], None]]) -> None:
        self._midi = [other for other in self._midi if other is not entry]
        entry[0].unregister()

    def close(self) -> None:
        """Leave the server."""
        self._jack.deactivate()
        self._jack.close()


class JackMidiInput:
    """A connected MIDI source."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close
