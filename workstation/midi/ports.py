"""MIDI ports: ALSA, CoreMIDI or Windows through RtMidi, and JACK where there is no ALSA.

Native libraries print to file descriptor 2 here, and may crash once their server is gone. So
ports are opened in the player's process, or in a command that does nothing else.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from workstation.midi.messages import MidiParser
from workstation.model import UnavailableError, UsageError
from workstation.model.names import shown

CLIENT = "workstation"
_NUMBERS = re.compile(r"\s+\d+:\d+$")
_AGAIN = re.compile(r"-\d\d$")
_THROUGH = "midi through"


class PortNames(msgspec.Struct, frozen=True):
    """The ports of this machine, without our own."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class MidiSystem:
    """One of the MIDI systems of this machine.

    Raises:
        UnavailableError: There is none.
    """

    def __init__(self) -> None:
        try:
            import rtmidi
        except ImportError as error:
            raise UnavailableError(
                f"The MIDI library cannot be loaded: {error}.",
                "Install it: `pip install --force-reinstall python-rtmidi`; "
                "on Linux it needs libasound2.",
            ) from error
        self._rtmidi = rtmidi
        self.api, self._in, self._out = self._find_api()

    def _find_api(self) -> tuple[int, Any, Any]:
        rtmidi = self._rtmidi
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
        compiled = rtmidi.get_compiled_api()
        for api in (rtmidi.API_UNSPECIFIED, rtmidi.API_UNIX_JACK):
            if api != rtmidi.API_UNSPECIFIED and api not in compiled:
                continue
            try:
                return api, rtmidi.MidiIn(api, CLIENT), rtmidi.MidiOut(api, CLIENT)
            except (rtmidi.RtMidiError, OSError):
                continue
        raise UnavailableError(
            "No MIDI system was found: no ALSA sequencer and no JACK server.",
            "Playback works; for controllers load the module snd-seq, or start JACK.",
        )

    def names(self) -> PortNames:
        """The ports that are there now."""
        return PortNames(_foreign(self._in.get_ports()), _foreign(self._out.get_ports()))

    def open_input(self, name: str, receive: Callable[[bytes], None]) -> InputPort:
        """Open an input; `receive` is called with whole messages, on a thread of the system.

        Raises:
            UsageError: There is no such port.
            UnavailableError: It cannot be opened.
        """
        made = self._rtmidi.MidiIn(self.api, CLIENT)
        _open(self._rtmidi, made, name, "in")
        return InputPort(made, receive)

    def open_output(self, name: str) -> OutputPort:
        """Open an output.

        Raises:
            UsageError: There is no such port.
            UnavailableError: It cannot be opened.
        """
        made = self._rtmidi.MidiOut(self.api, CLIENT)
        _open(self._rtmidi, made, name, "out")
        return OutputPort(made)


class InputPort:
    """An open input.

    Attributes:
        failed: What `receive` raised last, in words; it never ends the port.
    """

    def __init__(self, port: Any, receive: Callable[[bytes], None]) -> None:  # noqa: ANN401
        self._port = port
        self._receive = receive
        self._parser = MidiParser()
        self.failed = ""
        port.ignore_types(sysex=False, timing=True, active_sense=True)
        port.set_callback(self._take)

    def _take(self, event: tuple[list[int], float], data: object = None) -> None:
        del data
        try:
            for message in self._parser.feed(bytes(event[0])):
                self._receive(message)
        except Exception as error:  # noqa: BLE001  (nothing may travel into the library)
            self.failed = f"{type(error).__name__}: {error}"

    def close(self) -> None:
        """Close it."""
        self._port.cancel_callback()
        self._port.close_port()
        self._port.delete()


class OutputPort:
    """An open output; messages may be sent from any thread."""

    def __init__(self, port: Any) -> None:  # noqa: ANN401
        self._port = port
        self._lock = threading.Lock()

    def send(self, message: bytes) -> None:
        """Send one whole message.

        Raises:
            OSError: The port is gone.
        """
        with self._lock:
            self._port.send_message(message)

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._port.close_port()
            self._port.delete()


def _open(rtmidi: Any, port: Any, name: str, direction: str) -> None:  # noqa: ANN401
    ports = port.get_ports()
    if name not in ports:
        raise UsageError(
            f'There is no MIDI {direction}put "{shown(name)}".',
            "See them with `workstation midi ports`.",
        )
    try:
        port.open_port(ports.index(name), direction)
    except (rtmidi.RtMidiError, OSError) as error:
        raise UnavailableError(
            f"The MIDI port {shown(name)} cannot be opened: {error}.",
            "Close other programs that use it.",
        ) from error


def _foreign(names: list[str]) -> tuple[str, ...]:
    """Ports of others: not our own, and not the system's loop back."""
    return tuple(
        name
        for name in names
        if not name.startswith(CLIENT) and not name.lower().startswith(_THROUGH)
    )


def stable_name(port: str) -> str:
    """The name of a port without the numbers that change when it is plugged in again.

    >>> stable_name("APC MINI:APC MINI MIDI 1 20:0")
    'APC MINI:APC MINI MIDI 1'
    """
    return _NUMBERS.sub("", port)


def output_of(port: str, outputs: tuple[str, ...], nth: int = 0) -> str | None:
    """The output that belongs to an input: of the same name, else of the same client.

    Args:
        port: The input.
        outputs: All outputs.
        nth: Which of the inputs of this name it is, from 0: there may be two of one device.
    """
    wanted = stable_name(port)
    captured = wanted.replace("capture", "playback")
    same = [o for o in outputs if stable_name(o) == wanted]
    same = same or [o for o in outputs if stable_name(o) == captured]
    same = same or [o for o in outputs if _client_of(o) == _client_of(port) != "system"]
    return same[min(nth, len(same) - 1)] if same else None


def _client_of(port: str) -> str:
    """The client of a port; JACK numbers clients of one name: `pad`, `pad-01`."""
    return _AGAIN.sub("", stable_name(port).partition(":")[0])
