"""OSC through real sockets: every form of address, everything back, nonsense without harm."""

import socket
import time

import pytest
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage
from pythonosc.udp_client import SimpleUDPClient

from workstation.model import UnavailableError
from workstation.model.controls import ControlChange, control_table
from workstation.perform.osc import OscServer

STEMS = ("drums", "Lead Vox/2")


class Face:
    """A server, and a client that hears what it says."""

    def __init__(self, *, reply=False):
        self.table = control_table(STEMS)
        self.values = {name: spec.default for name, spec in self.table.items()}
        self.changes = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(1.0)
        here = self.socket.getsockname()
        self.server = OscServer(
            self.table, STEMS, self.changes.append, lambda: dict(self.values),
            listen=("127.0.0.1", 0), reply_to=here if reply else None,
        )  # fmt: skip
        self.client = SimpleUDPClient("127.0.0.1", self.server.port)

    def raw(self, data):
        self.socket.sendto(data, ("127.0.0.1", self.server.port))

    def wait(self, count):
        end = time.monotonic() + 3
        while len(self.changes) < count:
            assert time.monotonic() < end, (self.changes, self.server.problem)
            time.sleep(0.01)
        return self.changes

    def hear(self):
        """Address and value of every message in the next bundle."""
        bundle = OscBundle(self.socket.recv(65536))
        return {m.address: m.params[0] for m in bundle if isinstance(m, OscMessage)}


@pytest.fixture
def face():
    face = Face()
    yield face
    face.server.close()


@pytest.mark.parametrize(
    ("address", "value", "change"),
    [
        ("/stem/1/mute", 1, ControlChange("drums.mute", 1.0)),
        ("/stem/drums/gain", -6.0, ControlChange("drums.gain", -6.0)),
        ("/stem/Lead_Vox_2/pan", -0.5, ControlChange("Lead Vox/2.pan", -0.5)),
        ("/stem/2/gain/position", 0.75, ControlChange("Lead Vox/2.gain", 0.0)),
        ("/stem/1/solo/toggle", 1, ControlChange("drums.solo", 1.0, "toggle")),
        ("/master/gain", 99.0, ControlChange("master.gain", 10.0)),
        ("/transport/play", [], ControlChange("transport.play", 1.0)),
        ("/snapshot/3/recall", 1, ControlChange("snapshot3.recall", 1.0)),
        ("/group/2/mute", 0, ControlChange("group2.mute", 0.0)),
        ("/loop/beats", 8, ControlChange("loop.beats", 8.0)),
    ],
)
def test_addresses_reach_their_controls(face, address, value, change):
    face.client.send_message(address, value)
    assert face.wait(1) == [change]


def test_what_makes_no_sense_is_counted_and_does_no_harm(face):
    for address, value in (
        ("/stem/9/mute", 1), ("/nonsense", 1), ("/stem/1/gain", "loud"), ("/stem/1/gain", b"x"),
        ("/stem/1/gain", float("nan")), ("/stem/1/gain/higher", 1.0), ("/stem/1/pan", float("inf")),
    ):  # fmt: skip
        face.client.send_message(address, value)
    for packet in (b"", b"nonsense", b"/stem/1/mute\0\0\0\0,i\0\0", b"#bundle\0\0\0"):
        face.raw(packet)
    face.client.send_message("/transport/stop", 0)  # The release of a button.
    face.client.send_message("/stem/1/mute", 1)
    assert face.wait(1) == [ControlChange("drums.mute", 1.0)]
    assert face.server.refused >= 7


def test_refresh_tells_everything_and_then_what_changes(face):
    face.raw(b"/refresh\0\0\0\0,\0\0\0")
    heard = {}
    while len(heard) < len(face.table):
        heard |= face.hear()
    assert heard["/stem/2/gain"] == 0.0
    assert heard["/stem/2/gain/position"] == 0.75
    face.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        [face.hear() for _ in range(100)]
    face.values["drums.mute"] = 1.0
    assert face.hear() == {"/stem/1/mute": 1.0}


def test_a_face_that_was_named_is_told_without_asking():
    face = Face(reply=True)
    try:
        heard = {}
        while "/stem/1/pan" not in heard:
            heard |= face.hear()
    finally:
        face.server.close()


def test_a_port_in_use_is_told_and_a_closed_one_is_free(face):
    taken = face.server.port
    with pytest.raises(UnavailableError, match=str(taken)):
        OscServer(face.table, STEMS, print, dict, listen=("127.0.0.1", taken))
    began = time.monotonic()
    other = Face()
    other.server.close()
    assert time.monotonic() - began < 1.5
    again = OscServer(face.table, STEMS, print, dict, listen=("127.0.0.1", other.server.port))
    again.close()
