"""OSC through real sockets: every form of address, everything back, nonsense without harm."""

import socket
import threading
import time

import pytest
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient

from workstation.model import UnavailableError
from workstation.model.controls import ControlChange, control_table
from workstation.perform import osc
from workstation.perform.osc import OscServer

STEMS = ("drums", "Lead Vox/2")


def until(true):
    end = time.monotonic() + 3
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


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
    for packet in (
        b"", b"nonsense", b"/stem/1/mute\0\0\0,i\0\0", b"#bundle\0\0\0", b"/x\0\0,[\0\0",
        b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xff", bytes(range(256)) * 200,
    ):  # fmt: skip
        face.raw(packet)
    for address in ("/transport/stop", "/transport/stop/position", "/stem/1/mute/toggle"):
        face.client.send_message(address, 0)  # The release of a button.
    face.client.send_message("/stem/1/mute", 1)
    assert face.wait(1) == [ControlChange("drums.mute", 1.0)]
    assert face.server.refused == 14
    assert "is no OSC" in face.server.problem
    face.client.send_message("/evil\x1b[2J" + "x" * 500, 1)
    until(lambda: "evil" in face.server.problem)
    assert face.server.problem.isprintable()
    assert len(face.server.problem) <= 80


def test_messages_keep_their_order(face):
    for k in range(150):
        face.client.send_message("/stem/1/gain", -k / 10)
    assert [c.value for c in face.wait(150)] == pytest.approx([-k / 10 for k in range(150)])


def test_a_bundle_acts_at_once_whatever_its_time_tag_says(face):
    before = threading.active_count()
    for _ in range(20):
        bundle = OscBundleBuilder(time.time() + 3600)
        for what in ("mute", "solo"):
            message = OscMessageBuilder(f"/stem/1/{what}")
            message.add_arg(1)
            bundle.add_content(message.build())
        face.raw(bundle.build().dgram)
    changes = face.wait(40)
    assert [c.control for c in changes] == ["drums.mute", "drums.solo"] * 20
    assert threading.active_count() <= before


def test_a_failure_of_the_player_ends_neither_way():
    table = control_table(STEMS)
    got, asked = [], []

    def send(change):
        if not got:
            got.append(None)
            raise RuntimeError("the player was busy")
        got.append(change)

    def values():
        asked.append(1)
        if len(asked) < 4:
            raise RuntimeError("the player was busy")
        return {"drums.mute": 1.0, "unknown": 2.0}

    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("127.0.0.1", 0))
    ear.settimeout(3.0)
    server = OscServer(
        table, STEMS, send, values, listen=("127.0.0.1", 0), reply_to=ear.getsockname()
    )
    try:
        client = SimpleUDPClient("127.0.0.1", server.port)
        client.send_message("/stem/1/mute", 1)
        client.send_message("/stem/1/mute", 0)
        assert [m.address for m in OscBundle(ear.recv(65536))] == ["/stem/1/mute"]
        until(lambda: len(got) == 2)
        assert got[1] == ControlChange("drums.mute", 0.0)
    finally:
        server.close()
        ear.close()


def test_a_stem_that_is_called_like_a_part_of_the_product_does_not_hide_it():
    stems = ("master", "vocals")
    got = []
    server = OscServer(control_table(stems), stems, got.append, dict, listen=("127.0.0.1", 0))
    try:
        client = SimpleUDPClient("127.0.0.1", server.port)
        for address in ("/stem/1/gain", "/master/gain", "/stem/master/mute"):
            client.send_message(address, 0)
        until(lambda: len(got) == 2)
    finally:
        server.close()
    assert got == [ControlChange("master.gain", 0.0), ControlChange("master.mute", 0.0)]
    assert server.problem == "there is no control /stem/1/gain"


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


def test_who_asked_is_told_its_own_changes_and_forgotten_after_a_while(face, monkeypatch):
    monkeypatch.setattr(osc, "_REMEMBERED_S", 0.5)
    face.raw(b"/refresh\0\0\0\0,\0\0\0")
    face.socket.settimeout(0.15)
    with pytest.raises(TimeoutError):
        [face.hear() for _ in range(100)]
    face.values["drums.pan"] = -1.0
    assert face.hear() == {"/stem/1/pan": -1.0, "/stem/1/pan/position": 0.0}
    time.sleep(0.6)
    face.values["drums.pan"] = 1.0
    with pytest.raises(TimeoutError):
        face.hear()


def test_refresh_reaches_a_face_that_hears_on_another_port():
    face = Face(reply=True)
    try:
        face.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):  # All that it is told at the start.
            [face.hear() for _ in range(100)]
        face.client.send_message("/refresh", 0)  # The release of the button tells nothing.
        with pytest.raises(TimeoutError):
            face.hear()
        face.client.send_message("/refresh", 1)
        heard = {}
        while len(heard) < len(face.table):
            heard |= face.hear()
        assert heard["/master/gain/position"] == 0.75
    finally:
        face.server.close()


def test_a_face_that_was_named_is_told_without_asking():
    face = Face(reply=True)
    try:
        heard = {}
        while "/stem/1/pan" not in heard:
            heard |= face.hear()
        assert heard["/stem/1/pan/position"] == 0.5
    finally:
        face.server.close()


def test_a_port_in_use_is_told_and_a_closed_one_is_free(face):
    taken = face.server.port
    with pytest.raises(UnavailableError, match=str(taken)):
        OscServer(face.table, STEMS, print, dict, listen=("127.0.0.1", taken))
    with pytest.raises(UnavailableError, match="70000"):
        OscServer(face.table, STEMS, print, dict, listen=("127.0.0.1", 70000))
    with pytest.raises(UnavailableError, match="no such host"):
        OscServer(
            face.table, STEMS, print, dict, listen=("127.0.0.1", 0), reply_to=("no such host", 9)
        )
    began = time.monotonic()
    other = Face()
    other.server.close()
    assert time.monotonic() - began < 1.5
    again = OscServer(face.table, STEMS, print, dict, listen=("127.0.0.1", other.server.port))
    began = time.monotonic()
    again.close()
    assert time.monotonic() - began < 1.0
