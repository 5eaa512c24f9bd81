"""What the player and its parent both see: a piece of shared memory.

The player writes where it stands; the parent reads that whenever it draws. The parent writes
changes into a ring; the player takes them before every block. Each number has one writer, so
there are no locks.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workstation.model.controls import QUANTIZE, ControlChange

_RING = 2048
_OPS: tuple[Literal["set", "toggle", "move"], ...] = ("set", "toggle", "move")

# One slot per 5 µs of time spent in the callback; the last one takes all that is longer.
HISTOGRAM_STEP_S = 5e-6
HISTOGRAM_SLOTS = 2000

_HEADER = np.dtype(
    [
        ("alive", "<u8"),  # Counts on while the process is well.
        ("callbacks", "<u8"),  # Blocks that were asked for.
        ("frame", "<u8"),  # Frames of output so far.
        ("head", "<i8"),  # Frame of the song.
        ("heard_at", "<f8"),  # Time (monotonic, s) at which `head` is heard.
        ("playing", "<u8"),
        ("counting_in", "<u8"),
        ("recording", "<u8"),
        ("replaying", "<u8"),
        ("underflows", "<u8"),
        ("clipped", "<u8"),  # Samples beyond full scale that went to the device.
        ("written", "<u8"),  # Changes that the parent has put into the ring.
        ("read", "<u8"),  # Changes that the player has taken out.
    ]
)
_CHANGE = np.dtype(
    [("control", "<u4"), ("op", "u1"), ("quantize", "i1"), ("value", "<f8"), ("over", "<f8")]
)


class SharedState:
    """Shared memory for a player of so many strips and controls.

    Args:
        path: A file in memory or on disk that both sides map.
        strips: Number of stems.
        controls: Number of controls in the table.
        create: Make the file; otherwise it is there.

    Attributes:
        header: One number each: see `_HEADER` in the source; a record of views.
        values: Of the controls, in the order of the table.
        waiting: 1 for controls that wait for their line.
        peaks: Per strip and last for the master: left, right; decays by itself.
        rms: The same over about 0.3 s.
        histogram: Callbacks by the time they took, `HISTOGRAM_STEP_S` a slot.
    """

    def __init__(self, path: Path, *, strips: int, controls: int, create: bool = False) -> None:
        parts = {
            "header": ((), _HEADER),
            "values": ((controls,), np.dtype("<f8")),
            "peaks": ((strips + 1, 2), np.dtype("<f8")),
            "rms": ((strips + 1, 2), np.dtype("<f8")),
            "histogram": ((HISTOGRAM_SLOTS,), np.dtype("<u8")),
            "ring": ((_RING,), _CHANGE),
            "waiting": ((controls,), np.dtype("u1")),
        }
        size = sum(int(np.prod(shape)) * kind.itemsize + 64 for shape, kind in parts.values())
        with path.open("w+b" if create else "r+b") as file:
            if create:
                file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        arrays: dict[str, Any] = {}
        offset = 0
        for name, (shape, kind) in parts.items():
            arrays[name] = np.ndarray(shape, kind, self._map, offset)
            offset += -(-int(np.prod(shape)) * kind.itemsize // 64) * 64
        self.header = {name: arrays["header"][name] for name in _HEADER.names or ()}
        self.values: npt.NDArray[np.float64] = arrays["values"]
        self.waiting: npt.NDArray[np.uint8] = arrays["waiting"]
        self.peaks: npt.NDArray[np.float64] = arrays["peaks"]
        self.rms: npt.NDArray[np.float64] = arrays["rms"]
        self.histogram: npt.NDArray[np.uint64] = arrays["histogram"]
        ring = arrays["ring"]
        self._ring = {name: ring[name] for name in _CHANGE.names or ()}

    def get(self, name: str) -> int:
        """A whole number of the header."""
        return int(self.header[name])

    def put(self, name: str, value: float) -> None:
        """Set a number of the header; each has one writer."""
        self.header[name][()] = value

    def send(self, control: int, change: ControlChange) -> bool:
        """Put a change into the ring; False if the player does not take them out (any more).

        Only one thread may send at a time.
        """
        written = self.get("written")
        if written - self.get("read") >= _RING:
            return False
        slot = written % _RING
        quantize = -1 if change.quantize is None else QUANTIZE.index(change.quantize)
        values = (control, _OPS.index(change.op), quantize, change.value, change.over_beats)
        for column, value in zip(self._ring.values(), values, strict=True):
            column[slot] = value
        self.put("written", written + 1)
        return True

    def receive(self, ids: list[str]) -> list[ControlChange]:
        """Take all changes out of the ring."""
        written, read = self.get("written"), self.get("read")
        changes = []
        while read < written:
            slot = read % _RING
            control, op, quantize, value, over = (c[slot] for c in self._ring.values())
            unit = None if quantize < 0 else QUANTIZE[quantize]
            changes.append(ControlChange(ids[control], float(value), _OPS[op], unit, float(over)))
            read += 1
        if changes:
            self.put("read", read)
        return changes
