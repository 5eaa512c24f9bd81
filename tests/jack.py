"""A private JACK server for one test, a recorder and controllers on it.

Every client runs in a process of its own: libjack reads the name of the server from the
environment, and may crash once its server is gone.

    with JackServer(rate_hz=44100, period=128) as server:
        with Recorder(server) as recorder:
            ...                                 # a player that uses server.environment
            recorder.connect("workstation:left", "workstation:right")
            recording = recorder.stop()         # .samples (frames, 2), .frames, .xruns
"""

from __future__ import annotations

import ctypes.util
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest


def skip_without_jack():
    """Skip the test, saying so, where there is no JACK."""
    if shutil.which("jackd") is None or ctypes.util.find_library("jack") is None:
        pytest.skip("jackd is not installed: apt install jackd2")
    if ctypes.util.find_library("portaudio") is None:
        pytest.skip("PortAudio is not installed: apt install libportaudio2")


class JackServer:
    """jackd with its dummy driver under a name of its own."""

    def __init__(self, rate_hz=44100, period=128, outputs=2):
        self.rate_hz, self.period, self.outputs = rate_hz, period, outputs
        self._lock, self.name = _free_name()
        self.environment = {
            "JACK_DEFAULT_SERVER": self.name,
            "JACK_NO_START_SERVER": "1",
            "JACK_NO_AUDIO_RESERVATION": "1",
        }
        self.process = None

    def start(self):
        for priority in (["-P", "60"], ["--no-realtime"]):
            self.process = subprocess.Popen(
                ["jackd", "-n", self.name, *priority, "-d", "dummy", "-r", str(self.rate_hz),
                 "-p", str(self.period), "-P", str(self.outputs)],
                env={**os.environ, **self.environment},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if self._answers():
                return self
            self.kill()
        raise RuntimeError("jackd does not start")

    def _answers(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            asked = subprocess.run(
                ["jack_lsp"], env={**os.environ, **self.environment}, capture_output=True,
                text=True, check=False, timeout=10,
            )  # fmt: skip
            if "system:playback_1" in asked.stdout:
                return True
            time.sleep(0.1)
        return False

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.kill()
        self._lock.close()


def _free_name():
    """A name that no other test uses now, and the open file that keeps it.

    JACK remembers eight servers of a user, also dead ones until one of the same name starts:
    so a few names serve for ever.
    """
    for number in range(4):
        file = (Path(tempfile.gettempdir()) / f"workstation-test-jack-{number}").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
        else:
            return file, f"workstation-test-{number}"
    raise RuntimeError("four JACK servers of tests are running already")


class _Helper:
    """A process of this module's own that is told things by lines, and answers by lines."""

    def __init__(self, server, role, *arguments):
        self.server = server
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, role, *map(str, arguments)],
            env={**os.environ, **server.environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.answer()["ready"]

    def tell(self, **values):
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the helper has died"
        return json.loads(line)

    def ask(self, **values):
        self.tell(**values)
        return self.answer()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Recording:
    """What was recorded: samples (frames, 2), the JACK frame of each, and lost cycles."""

    def __init__(self, samples, frames, xruns):
        self.samples, self.frames, self.xruns = samples, frames, xruns

    @property
    def gaps(self):
        return int(np.count_nonzero(np.diff(self.frames) != 1))

    def music(self):
        """From the first sample that is not silence on."""
        heard = np.flatnonzero(self.samples.any(axis=1))
        assert len(heard), "nothing was heard"
        return self.samples[heard[0] :]


class Recorder(_Helper):
    """Records two ports from when they are connected until it is stopped."""

    def __init__(self, server, seconds=120):
        super().__init__(server, "record", seconds)

    def connect(self, left, right):
        assert self.ask(do="connect", ports=[left, right])["connected"], (left, right)

    def freewheel(self, *, on):
        self.ask(do="freewheel", on=on)

    def recorded(self):
        """Frames so far."""
        return self.ask(do="count")["frames"]

    def stop(self):
        with tempfile.TemporaryDirectory() as folder:
            answer = self.ask(do="stop", folder=folder)
            samples = np.load(Path(folder) / "samples.npy")
            frames = np.load(Path(folder) / "frames.npy")
        return Recording(samples, frames, answer["xruns"])


class MidiBox(_Helper):
    """A controller: a JACK client with a MIDI output and an input, through RtMidi."""

    def __init__(self, server, name):
        self.name = name
        super().__init__(server, "midi", name)

    def send(self, *messages):
        """Send whole messages, given as lists of bytes; gives the JACK frame before the first."""
        return self.ask(do="send", messages=[list(m) for m in messages])["frame"]

    def received(self):
        """All messages since the last call, as lists of bytes."""
        return self.ask(do="received")["messages"]


class RawMidi(_Helper):
    """A JACK MIDI output that writes any bytes at all as events."""

    def __init__(self, server, name):
        super().__init__(server, "raw", name)

    def send(self, *events):
        self.ask(do="send", messages=[list(e) for e in events])


class ClockReader(_Helper):
    """A JACK MIDI input that notes the exact frame of every event."""

    def __init__(self, server, name):
        super().__init__(server, "clock", name)

    def events(self):
        """(frame, bytes) of every event so far."""
        return [(frame, bytes(data)) for frame, data in self.ask(do="events")["events"]]


# -- what runs in the processes ------------------------------------------------------------------


def _say(**values):
    print(json.dumps(values), flush=True)


def _orders():
    for line in sys.stdin:
        yield json.loads(line)


def _record(seconds):
    import jack

    client = jack.Client("recorder", no_start_server=True)
    size = int(float(seconds) * client.samplerate) + client.samplerate
    samples = np.zeros((size, 2), np.float32)
    frames = np.zeros(size, np.int64)
    state = {"at": 0, "xruns": 0, "on": False}
    ports = [client.inports.register(name) for name in ("left", "right")]

    @client.set_process_callback
    def process(count):
        at = state["at"]
        if not state["on"] or at + count > size:
            return
        for channel, port in enumerate(ports):
            samples[at : at + count, channel] = port.get_array()
        frames[at : at + count] = client.last_frame_time + np.arange(count)
        state["at"] = at + count

    @client.set_xrun_callback
    def xrun(_delay):
        state["xruns"] += 1

    client.activate()
    _say(ready=True)
    for order in _orders():
        if order["do"] == "connect":
            _say(connected=_connect(client, order["ports"], ports))
            state["on"] = True
        elif order["do"] == "freewheel":
            client.set_freewheel(order["on"])
            time.sleep(0.2)
            _say(done=True)
        elif order["do"] == "count":
            _say(frames=state["at"])
        else:
            state["on"] = False
            np.save(Path(order["folder"]) / "samples.npy", samples[: state["at"]])
            np.save(Path(order["folder"]) / "frames.npy", frames[: state["at"]])
            _say(xruns=state["xruns"])


def _connect(client, sources, targets):
    import jack

    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            for source, target in zip(sources, targets, strict=True):
                client.connect(source, target)
        except jack.JackError:
            time.sleep(0.05)
        else:
            return True
    return False


def _midi(name):
    import jack
    import rtmidi

    clock = jack.Client(f"{name} clock", no_start_server=True)
    clock.activate()
    out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name)
    out.open_virtual_port(f"{name} out")
    into = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name)
    into.open_virtual_port(f"{name} in")
    into.ignore_types(sysex=False, timing=False, active_sense=False)
    _say(ready=True)
    for order in _orders():
        if order["do"] == "send":
            frame = clock.frame_time
            for message in order["messages"]:
                out.send_message(message)
            _say(frame=frame)
        else:
            messages = []
            while (found := into.get_message()) is not None:
                messages.append(found[0])
            _say(messages=messages)


def _raw(name):
    from collections import deque

    import jack

    client = jack.Client(name, no_start_server=True)
    port = client.midi_outports.register("out")
    waiting = deque()

    @client.set_process_callback
    def process(_count):
        port.clear_buffer()
        while waiting:
            try:
                port.write_midi_event(0, waiting[0])
            except jack.JackError:
                return  # The rest goes with the next block.
            waiting.popleft()

    client.activate()
    _say(ready=True)
    for order in _orders():
        waiting.extend(bytes(message) for message in order["messages"])
        while waiting:
            time.sleep(0.002)
        _say(done=True)


def _clock(name):
    import jack

    client = jack.Client(name, no_start_server=True)
    port = client.midi_inports.register("in")
    events = []

    @client.set_process_callback
    def process(_count):
        for offset, data in port.incoming_midi_events():
            events.append((client.last_frame_time + offset, list(bytes(data))))

    client.activate()
    _say(ready=True)
    for _order in _orders():
        _say(events=list(events))


if __name__ == "__main__":
    {"record": _record, "midi": _midi, "raw": _raw, "clock": _clock}[sys.argv[1]](*sys.argv[2:])
