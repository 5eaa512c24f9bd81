"""OSC in and out (Open Sound Control 1.0) for the table of controls.

/stem/<number or name>/<what>   /stem/1/mute 1   /stem/vocals/gain -6.0
/<where>/<what>                 /transport/play 1   /master/gain 0.0   /loop/beats 4
/<where>/<number>/<what>        /group/1/mute 1   /snapshot/2/recall
…/position                      any of these from 0 to 1, as faders send it
…/toggle                        flips a switch
/refresh                        answers with everything, and with all changes for a minute
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from workstation.model import UnavailableError
from workstation.model.controls import ControlChange, ControlSpec

_EVERY_S = 1 / 30
_REMEMBERED_S = 60.0
_PER_BUNDLE = 20
_UNSAFE = re.compile(r"[\s#*,/?\[\]{}]")
_NUMBERED = re.compile(r"(group|snapshot)(\d+)")

Address = tuple[str, int]


def osc_address(control: str, stems: Sequence[str]) -> str:
    """Address of a control: stems by their number.

    >>> osc_address("vocals.mute", ("drums", "vocals")), osc_address("group1.mute", ())
    ('/stem/2/mute', '/group/1/mute')
    """
    where, _, what = control.rpartition(".")
    if where in stems:
        return f"/stem/{list(stems).index(where) + 1}/{what}"
    return "/" + _NUMBERED.sub(r"\1/\2", where) + f"/{what}"


class OscServer:
    """Listens for OSC, and tells how things stand to whom it concerns.

    Args:
        table: The controls.
        stems: Names of the stems, in the order of strips.
        send: Takes the changes; called on a thread of the server.
        values: Gives what every control is set to.
        listen: Host and port to listen on; port 0 takes a free one.
        reply_to: Host and port that is told of every change; others ask with `/refresh`.

    Attributes:
        port: The port it listens on.
        refused: How many messages made no sense.
        problem: The last of them, in words.

    Raises:
        UnavailableError: The port is in use.
    """

    def __init__(
        self,
        table: dict[str, ControlSpec],
        stems: Sequence[str],
        send: Callable[[ControlChange], None],
        values: Callable[[], dict[str, float]],
        *,
        listen: Address,
        reply_to: Address | None = None,
    ) -> None:
        from pythonosc.dispatcher import Dispatcher
        from pythonosc.osc_server import ThreadingOSCUDPServer

        self._table = table
        self._send = send
        self._values = values
        self._addresses = {name: osc_address(name, stems) for name in table}
        self._controls = {address: name for name, address in self._addresses.items()}
        for stem in stems:
            for name in table:
                if name.rpartition(".")[0] == stem:
                    safe = _UNSAFE.sub("_", stem)
                    self._controls.setdefault(f"/stem/{safe}/{name.rpartition('.')[2]}", name)
        self._always = reply_to
        self._askers: dict[Address, float] = {}
        self._told: dict[str, float] = {}
        self.refused = 0
        self.problem = ""
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._receive, needs_reply_address=True)
        try:
            self._server = ThreadingOSCUDPServer(listen, dispatcher)
        except OSError as error:
            raise UnavailableError(
                f"OSC cannot listen on {listen[0]}:{listen[1]}: {error.strerror}.",
                "Choose another port with --osc.",
            ) from error
        self._server.daemon_threads = True
        self._server.handle_error = self._note_failure  # type: ignore[method-assign]
        self.port = int(self._server.server_address[1])
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True),
            threading.Thread(target=self._tell_changes, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- in -----------------------------------------------------------------------------------

    def _receive(self, sender: Address, address: str, *arguments: Any) -> None:  # noqa: ANN401
        if address == "/refresh":
            self._askers[sender] = time.monotonic()
            self._tell(sender, self._values())
            return
        try:
            change = self._read(address, arguments)
        except ValueError as error:
            self.refused += 1
            self.problem = str(error)
            return
        if change is not None:
            self._send(change)

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
        if form == "position":
            return ControlChange(control, spec.value_at(value))
        if spec.kind == "trigger" and value == 0:
            return None
        return ControlChange(control, spec.clamp(value))

    def _note_failure(self, request: object, client_address: object) -> None:
        del request
        self.refused += 1
        self.problem = f"a packet from {client_address} is no OSC"

    # -- out ----------------------------------------------------------------------------------

    def _tell_changes(self) -> None:
        while not self._ended.wait(_EVERY_S):
            now = time.monotonic()
            for asker, at in list(self._askers.items()):
                if now - at > _REMEMBERED_S:
                    del self._askers[asker]
            values = self._values()
            changed = {name: v for name, v in values.items() if self._told.get(name) != v}
            self._told = values
            if changed:
                targets = set(self._askers)
                if self._always is not None:
                    targets.add(self._always)
                for target in targets:
                    self._tell(target, changed)

    def _tell(self, target: Address, values: dict[str, float]) -> None:
        """Send values, and for faders and knobs their positions, in bundles of a safe size."""
        from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
        from pythonosc.osc_message_builder import OscMessageBuilder

        messages = []
        for name, value in values.items():
            spec, address = self._table[name], self._addresses[name]
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
                self._server.socket.sendto(bundle.build().dgram, target)
            except OSError as error:
                self.problem = f"{target[0]}:{target[1]} cannot be told: {error}"
                return

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(0.5)


def _number(arguments: tuple[Any, ...]) -> float:
    if not arguments:
        return 1.0
    value = arguments[0]
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
