"""OSC in and out (Open Sound Control 1.0) for the table of controls.

/stem/<number or name>/<what>   /stem/1/mute 1   /stem/vocals/gain -6.0
/<where>/<what>                 /transport/play 1   /master/gain 0.0   /loop/beats 4
/<where>/<number>/<what>        /group/1/mute 1   /snapshot/2/recall
…/position                      any of these from 0 to 1, as faders send it
…/toggle                        flips a switch
/refresh                        answers with everything, and with all changes for a minute

What lies in a bundle takes effect at once, in order; time tags of the future are not waited for.
"""

from __future__ import annotations

import contextlib
import math
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from workstation.model import UnavailableError
from workstation.model.controls import ControlChange, ControlSpec, control_table

_EVERY_S = 1 / 30
_REMEMBERED_S = 60.0
# Senders of packets can be forged: what they can make the server do is limited.
_MAX_ASKERS = 32
_PER_BUNDLE = 20
_PACKET = 65536
_SHOWN = 80
_UNSAFE = re.compile(r"[\s#*,/?\[\]{}]")
_NUMBERED = re.compile(r"(group|snapshot)(\d+)")
_GLOBAL = frozenset(control_table(()))

# Host and port; IPv6 adds two numbers.
Address = tuple[Any, ...]


def osc_address(control: str, stems: Sequence[str]) -> str:
    """Address of a control: stems by their number.

    >>> osc_address("vocals.mute", ("drums", "vocals")), osc_address("group1.mute", ())
    ('/stem/2/mute', '/group/1/mute')
    """
    where, _, what = control.rpartition(".")
    if where in stems and control not in _GLOBAL:
        return f"/stem/{list(stems).index(where) + 1}/{what}"
    return "/" + _NUMBERED.sub(r"\1/\2", where) + f"/{what}"


class OscServer:
    """Listens for OSC, and tells how things stand to whom it concerns.

    Args:
        table: The controls.
        stems: Names of the stems, in the order of strips.
        send: Takes the changes; called on the thread of the server.
        values: Gives what every control is set to; called on the thread of the server.
        listen: Host and port to listen on; port 0 takes a free one.
        reply_to: Host and port that is told of every change; others ask with `/refresh`.

    Attributes:
        port: The port it listens on.
        refused: How many packets and messages made no sense.
        problem: What went wrong last, in words; empty if nothing did.

    Raises:
        UnavailableError: The port is in use, or there is no such host.
    """

    def __init__(
        self,
        table: dict[str, ControlSpec],
        stems: Sequence[str],
        send: Callable[[ControlChange], None],
        values: Callable[[], dict[str, float]],
        *,
        listen: tuple[str, int],
        reply_to: tuple[str, int] | None = None,
    ) -> None:
        self._table = table
        self._send = send
        self._values = values
        self._addresses = {name: osc_address(name, stems) for name in table}
        self._controls = {address: name for name, address in self._addresses.items()}
        for name in table:
            where, _, what = name.rpartition(".")
            if where in stems and name not in _GLOBAL:
                self._controls.setdefault(f"/stem/{_UNSAFE.sub('_', where)}/{what}", name)
        self._askers: dict[Address, float] = {}
        self._told: dict[str, float] = {}
        self.refused = 0
        self.problem = ""
        self._socket = _listening(listen)
        self.port = int(self._socket.getsockname()[1])
        try:
            # Looked up once: a name server that is slow must not hold up every change.
            self._always = None if reply_to is None else _found(reply_to, self._socket.family)
        except UnavailableError:
            self._socket.close()
            raise
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # One thread for both ways, so messages keep their order.
        tell_at = time.monotonic()
        while not self._ended.is_set():
            now = time.monotonic()
            if now >= tell_at:
                tell_at = now + _EVERY_S
                self._try(self._tell_changes, now)
            ready, _, _ = select.select([self._socket], [], [], max(0.0, tell_at - now))
            if ready:
                # Windows tells here that an earlier answer reached nobody.
                with contextlib.suppress(OSError):
                    packet, sender = self._socket.recvfrom(_PACKET)
                    if not self._try(self._receive, packet, sender):
                        self.refused += 1

    def _try(self, work: Callable[..., None], *arguments: object) -> bool:
        """Do something, and tell whether it went well; no failure may end the server."""
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001  (told in words)
            self.problem = _shown(error)
            return False
        return True

    # -- in -----------------------------------------------------------------------------------

    def _receive(self, packet: bytes, sender: Address) -> None:
        from pythonosc.osc_packet import OscPacket

        try:
            messages = [timed.message for timed in OscPacket(packet).messages]
        except Exception as error:
            raise ValueError(f"a packet from {sender[0]} is no OSC") from error
        if not messages:
            raise ValueError(f"a packet from {sender[0]} holds no message")
        for message in messages:
            arguments = tuple(message.params)
            if not self._try(self._obey, message.address, arguments, sender):
                self.refused += 1

    def _obey(self, address: str, arguments: tuple[Any, ...], sender: Address) -> None:
        if address == "/refresh":
            if arguments[:1] != (0,):  # The release of a button.
                self._answer(sender)
            return
        change = self._read(address, arguments)
        if change is not None:
            self._send(change)

    def _answer(self, sender: Address) -> None:
        """Tell everything; a face that hears on another port than it sends from is `reply_to`."""
        if sender in self._askers or len(self._askers) < _MAX_ASKERS:
            self._askers[sender] = time.monotonic()
        values = self._values()
        for target in {sender, self._always or sender}:
            self._tell(target, values)

    def _read(self, address: str, arguments: tuple[Any, ...]) -> ControlChange | None:
        """The change that a message asks for; None for the release of a button."""
        base, _, form = address.rpartition("/")
        control = self._controls.get(address)
        if control is None:
            control = self._controls.get(base)
        else:
            form = ""
        if control is None or form not in {"", "position", "toggle"}:
            raise ValueError(f"there is no control {address}")
        value = _number(arguments)
        spec = self._table[control]
        if form == "toggle":
            return ControlChange(control, 1.0, "toggle") if value else None
        value = spec.value_at(value) if form == "position" else spec.clamp(value)
        if spec.kind == "trigger" and value == 0:
            return None
        return ControlChange(control, value)

    # -- out ----------------------------------------------------------------------------------

    def _tell_changes(self, now: float) -> None:
        self._askers = {a: at for a, at in self._askers.items() if now - at <= _REMEMBERED_S}
        values = self._values()
        changed = {name: v for name, v in values.items() if self._told.get(name) != v}
        self._told = values
        if changed:
            for target in {*self._askers, *([self._always] if self._always else [])}:
                self._tell(target, changed)

    def _tell(self, target: Address, values: dict[str, float]) -> None:
        """Send values, and for faders and knobs their positions, in bundles of a safe size."""
        from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
        from pythonosc.osc_message_builder import OscMessageBuilder

        messages = []
        for name, value in values.items():
            spec = self._table.get(name)
            if spec is None:
                continue
            address = self._addresses[name]
            pairs = [(address, value)]
            if spec.kind in {"fader", "knob"}:
                pairs.append((f"{address}/position", spec.position_of(value)))
            for where, number in pairs:
                builder = OscMessageBuilder(where)
                builder.add_arg(float(number), "f")
                messages.append(builder.build())
        for start in range(0, len(messages), _PER_BUNDLE):
            bundle = OscBundleBuilder(IMMEDIATELY)
            for message in messages[start : start + _PER_BUNDLE]:
                bundle.add_content(message)
            try:
                self._socket.sendto(bundle.build().dgram, target)
            except OSError as error:
                self.problem = f"{target[0]}:{target[1]} cannot be told: {error}"
                return

    def close(self) -> None:
        """Stop listening; the port is free within a second."""
        self._ended.set()
        self._thread.join(0.9)
        self._socket.close()


def _found(address: tuple[str, int], family: int = socket.AF_UNSPEC) -> Address:
    """The socket address of a host and port.

    Raises:
        UnavailableError: There is none.
    """
    try:
        place: Address = _look_up(address, family)[4]
    except (OSError, OverflowError, UnicodeError) as error:
        raise UnavailableError(
            f"OSC cannot reach {address[0]}:{address[1]}: {_reason(error)}.",
            "Check the host and the port.",
        ) from error
    return place


def _listening(address: tuple[str, int]) -> socket.socket:
    try:
        family, kind, protocol, _, place = _look_up(address)
        made = socket.socket(family, kind, protocol)
        try:
            made.bind(place)
        except BaseException:
            made.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise UnavailableError(
            f"OSC cannot listen on {address[0]}:{address[1]}: {_reason(error)}.",
            "Choose another port with --osc.",
        ) from error
    return made


def _look_up(address: tuple[str, int], family: int = socket.AF_UNSPEC) -> tuple[Any, ...]:
    if not 0 <= address[1] <= 0xFFFF:
        # The system would take another port without a word.
        raise OverflowError("a port lies between 0 and 65535")
    return socket.getaddrinfo(*address, family=family, type=socket.SOCK_DGRAM)[0]


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _shown(error: Exception) -> str:
    """Words of an error that are fit for a terminal: they repeat what a stranger sent."""
    words = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return "".join(c if c.isprintable() else "?" for c in words[:_SHOWN])


def _number(arguments: tuple[Any, ...]) -> float:
    if not arguments:
        return 1.0
    value = arguments[0]
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:20]!r} is no number")
    return float(value)
