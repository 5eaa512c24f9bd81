"""The mixing loops, compiled; importing this module imports numba.

Every sample is computed from the numbers of its strip and its own position alone, in the same
order of operations however the output is cut into blocks. That is why a recording of the live
output and an offline render are equal to the last bit.

The filter is the state-variable filter with trapezoidal integration of V. Zavalishin, "The Art
of VA Filter Design", 2012, section 4.4.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from workstation.audio.compiled import compiled

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

# Where the numbers of a strip lie in its array. A ramp is (target, step, frames left): its value
# is target - step * left, so that it ends on the target exactly.
GAIN, GAIN_STEP, GAIN_LEFT, GAIN_EXACT = 0, 1, 2, 3  # GAIN is the cube root of the amplitude.
PAN, PAN_STEP, PAN_LEFT = 4, 5, 6
FILTER, FILTER_STEP, FILTER_LEFT = 7, 8, 9
HEARD, HEARD_TARGET = 10, 11  # 0 … ramp frames
MEMORY = 12  # … 15: two integrators for each channel
SLICE, SLICE_FRAMES = 16, 17  # What a stutter repeats; 0 frames: nothing.
OLD_SLICE, OLD_SLICE_FRAMES, SLICE_FADE = 18, 19, 20
STRIP_SIZE = 21

_SILENT = 1e-20  # Below this the filter is at rest; smaller numbers only slow it down.
_DAMPING = 1.2
_WET_BY = 0.05  # The filter is fully in from here; before, it is blended in.


def _at(x: _Floats, frame: int, fold: _Doubles, channel: int) -> float:
    """A sample of one side of a stem; silence beyond its ends."""
    if frame < 0 or frame >= x.shape[0]:
        return 0.0
    if x.shape[1] == 2:
        return float(x[frame, channel])
    total = 0.0
    for c in range(x.shape[1]):
        total += fold[channel, c] * x[frame, c]
    return total


def _repeated(
    x: _Floats, frame: int, fold: _Doubles, channel: int, start: int, frames: int, ramp: int
) -> float:
    """A sample of one side of a stem that repeats a slice (0 frames: that does not).

    Towards its end the slice fades into what comes before its start, so that the jump back is
    smooth and the start keeps its attack.
    """
    if frames == 0:
        return at(x, frame, fold, channel)
    into = (frame - start) % frames
    fade = min(ramp, frames // 4)
    here = at(x, start + into, fold, channel)
    if into >= frames - fade:
        weight = (into - (frames - fade) + 1) / (fade + 1)
        here += weight * (at(x, start + into - frames, fold, channel) - here)
    return here


def _mix_strip(
    x: _Floats,
    fold: _Doubles,
    strip: _Doubles,
    heads: npt.NDArray[np.int64],
    crossfade: npt.NDArray[np.int64],
    ramp: int,
    rate: float,
    bus: _Doubles,
    meter: _Doubles,
) -> None:
    first, second = heads[0], heads[1]
    filtering = strip[FILTER] != 0.0 or strip[FILTER_LEFT] > 0
    if not filtering:
        strip[MEMORY : MEMORY + 4] = 0.0
    coefficient = strip_filter(strip[FILTER], rate)
    steady = strip[GAIN_LEFT] == 0 and strip[PAN_LEFT] == 0 and strip[FILTER_LEFT] == 0
    plain = strip[SLICE_FADE] == 0 and strip[SLICE_FRAMES] == 0 and crossfade[0] >= crossfade[1]
    inside = first >= 0 and first + bus.shape[0] <= x.shape[0] and x.shape[1] == 2
    if steady and plain and inside and strip[HEARD] == strip[HEARD_TARGET]:
        if filtering:
            add_filtered(x, first, strip, ramp, coefficient, bus, meter)
        else:
            add_steady(x, first, strip, ramp, bus, meter)
        return
    for i in range(bus.shape[0]):
        # Ramps first: what a change sets off begins with the very next sample.
        amplitude = strip[GAIN_EXACT]
        if strip[GAIN_LEFT] > 0:
            strip[GAIN_LEFT] -= 1
            if strip[GAIN_LEFT] > 0:
                root = strip[GAIN] - strip[GAIN_STEP] * strip[GAIN_LEFT]
                amplitude = root * root * root
        if strip[PAN_LEFT] > 0:
            strip[PAN_LEFT] -= 1
        pan = strip[PAN] - strip[PAN_STEP] * strip[PAN_LEFT]
        if strip[HEARD] < strip[HEARD_TARGET]:
            strip[HEARD] += 1
        elif strip[HEARD] > strip[HEARD_TARGET]:
            strip[HEARD] -= 1
        heard = strip[HEARD] / ramp
        amplitude = amplitude * (heard * heard * (3.0 - 2.0 * heard))
        if filtering and strip[FILTER_LEFT] > 0:
            strip[FILTER_LEFT] -= 1
            position = strip[FILTER] - strip[FILTER_STEP] * strip[FILTER_LEFT]
            coefficient = strip_filter(position, rate)
            if position == 0.0:
                strip[MEMORY : MEMORY + 4] = 0.0
            filtering = position != 0.0 or strip[FILTER_LEFT] > 0
        weight = 1.0
        if crossfade[0] + i < crossfade[1]:
            weight = (crossfade[0] + i) / crossfade[1]
        slice_weight = 1.0
        if strip[SLICE_FADE] > 0:
            slice_weight = 1.0 - strip[SLICE_FADE] / (ramp + 1)
            strip[SLICE_FADE] -= 1
        for channel in range(2):
            start, frames = int(strip[SLICE]), int(strip[SLICE_FRAMES])
            value = repeated(x, first + i, fold, channel, start, frames, ramp)
            if weight != 1.0:
                other = repeated(x, second + i, fold, channel, start, frames, ramp)
                value = other + weight * (value - other)
            if slice_weight != 1.0:
                start, frames = int(strip[OLD_SLICE]), int(strip[OLD_SLICE_FRAMES])
                old = repeated(x, first + i, fold, channel, start, frames, ramp)
                value = old + slice_weight * (value - old)
            if filtering:
                g, low_pass, wet = coefficient
                m = MEMORY + 2 * channel
                v3 = value - strip[m + 1]
                a1 = 1.0 / (1.0 + g * (g + _DAMPING))
                v1 = a1 * strip[m] + g * a1 * v3
                v2 = strip[m + 1] + g * v1
                strip[m] = 2.0 * v1 - strip[m]
                strip[m + 1] = 2.0 * v2 - strip[m + 1]
                if abs(strip[m]) < _SILENT:
                    strip[m] = 0.0
                if abs(strip[m + 1]) < _SILENT:
                    strip[m + 1] = 0.0
                passed = v2 if low_pass > 0 else value - _DAMPING * v1 - v2
                value += wet * (passed - value)
            if channel == 0:
                value *= amplitude * min(1.0, 1.0 - pan)
            else:
                value *= amplitude * min(1.0, 1.0 + pan)
            bus[i, channel] += value
            meter[channel] = max(meter[channel], abs(value))
            meter[2 + channel] += value * value


def _add_steady(
    x: _Floats, first: int, strip: _Doubles, ramp: int, bus: _Doubles, meter: _Doubles
) -> None:
    """Add a stereo stem on which nothing moves: the same products as in the long way."""
    heard = strip[HEARD] / ramp
    amplitude = strip[GAIN_EXACT] * (heard * heard * (3.0 - 2.0 * heard))
    left = amplitude * min(1.0, 1.0 - strip[PAN])
    right = amplitude * min(1.0, 1.0 + strip[PAN])
    if left == 0.0 and right == 0.0:
        return
    top_left, top_right, sum_left, sum_right = meter[0], meter[1], meter[2], meter[3]
    for i in range(bus.shape[0]):
        a = x[first + i, 0] * left
        b = x[first + i, 1] * right
        bus[i, 0] += a
        bus[i, 1] += b
        top_left = max(top_left, abs(a))
        top_right = max(top_right, abs(b))
        sum_left += a * a
        sum_right += b * b
    meter[0], meter[1], meter[2], meter[3] = top_left, top_right, sum_left, sum_right


def _add_filtered(
    x: _Floats,
    first: int,
    strip: _Doubles,
    ramp: int,
    coefficient: tuple[float, float, float],
    bus: _Doubles,
    meter: _Doubles,
) -> None:
    """Add a stereo stem through its filter, on which nothing moves: as in the long way."""
    heard = strip[HEARD] / ramp
    amplitude = strip[GAIN_EXACT] * (heard * heard * (3.0 - 2.0 * heard))
    g, low_pass, wet = coefficient
    a1 = 1.0 / (1.0 + g * (g + _DAMPING))
    for channel in range(2):
        side = 1.0 - strip[PAN] if channel == 0 else 1.0 + strip[PAN]
        gain = amplitude * min(1.0, side)
        top, power = meter[channel], meter[2 + channel]
        band, low = strip[MEMORY + 2 * channel], strip[MEMORY + 2 * channel + 1]
        for i in range(bus.shape[0]):
            value = float(x[first + i, channel]) + 0.0
            v3 = value - low
            v1 = a1 * band + g * a1 * v3
            v2 = low + g * v1
            band = 2.0 * v1 - band
            low = 2.0 * v2 - low
            if abs(band) < _SILENT:
                band = 0.0
            if abs(low) < _SILENT:
                low = 0.0
            passed = v2 if low_pass > 0 else value - _DAMPING * v1 - v2
            value += wet * (passed - value)
            value *= gain
            bus[i, channel] += value
            top = max(top, abs(value))
            power += value * value
        meter[channel], meter[2 + channel] = top, power
        strip[MEMORY + 2 * channel], strip[MEMORY + 2 * channel + 1] = band, low


def _strip_filter(position: float, rate: float) -> tuple[float, float, float]:
    """Coefficient, 1 for low-pass or 0 for high-pass, and how much of the filter is heard."""
    amount = min(abs(position), 1.0)
    low_pass = position < 0.0
    cutoff_hz = 20000.0 * 0.003**amount if low_pass else 20.0 * 450.0**amount
    cutoff_hz = min(cutoff_hz, 0.45 * rate)
    return (
        math.tan(math.pi * cutoff_hz / rate),
        1.0 if low_pass else 0.0,
        min(1.0, amount / _WET_BY),
    )


def _finish(
    bus: _Doubles,
    master: _Doubles,
    fade: npt.NDArray[np.int64],
    ramp: int,
    out: _Floats,
    meter: _Doubles,
) -> None:
    """Bus to output: the fade of the transport, then the master gain.

    `fade` is (level, target) from 0 to the ramp; `master` is the ramp of the gain as in a strip.
    """
    for i in range(bus.shape[0]):
        amplitude = master[GAIN_EXACT]
        if master[GAIN_LEFT] > 0:
            master[GAIN_LEFT] -= 1
            if master[GAIN_LEFT] > 0:
                root = master[GAIN] - master[GAIN_STEP] * master[GAIN_LEFT]
                amplitude = root * root * root
        if fade[0] < fade[1]:
            fade[0] += 1
        elif fade[0] > fade[1]:
            fade[0] -= 1
        level = fade[0] / ramp
        amplitude *= level * level * (3.0 - 2.0 * level)
        for channel in range(2):
            value = bus[i, channel] * amplitude
            out[i, channel] = value
            meter[channel] = max(meter[channel], abs(value))
            meter[2 + channel] += value * value


def _add_click(
    out: _Floats,
    head: int,
    lines: npt.NDArray[np.int64],
    accents: npt.NDArray[np.bool_],
    tones: _Floats,
    gain: float,
) -> None:
    """Add the click of every line that sounds in out (frames, 2), whose first frame is `head`."""
    length = tones.shape[1]
    k = np.searchsorted(lines, head - length + 1)
    while k < lines.shape[0] and lines[k] < head + out.shape[0]:
        tone = 1 if accents[k] else 0
        begin = max(lines[k], head)
        end = min(lines[k] + length, head + out.shape[0])
        for frame in range(begin, end):
            value = gain * tones[tone, frame - lines[k]]
            out[frame - head, 0] += value
            out[frame - head, 1] += value
        k += 1


def _touch(x: _Floats, start: int, end: int, step: int) -> float:
    """Read a sample of every page, so that the system has it in memory."""
    total = 0.0
    for frame in range(max(start, 0), min(end, x.shape[0]), step):
        total += x[frame, 0]
    return total


at = numba.njit(inline="never")(_at)
repeated = numba.njit(inline="never")(_repeated)
strip_filter = numba.njit(inline="never")(_strip_filter)
add_steady = numba.njit(inline="never")(_add_steady)
add_filtered = numba.njit(inline="never")(_add_filtered)

# Stems are mapped files: read-only, and their samples start at any byte.
_STEM = numba.types.Array(numba.float32, 2, "C", readonly=True, aligned=False)
_PAIRS = numba.float64[:, ::1]
_OUT = numba.float32[:, ::1]
_DOUBLES = numba.float64[::1]
_INTEGERS = numba.int64[::1]

# The player's own thread keeps Python's lock while it mixes: winning it back takes longer.
mix_strip = compiled(
    _mix_strip,
    numba.void(
        _STEM, _PAIRS, _DOUBLES, _INTEGERS, _INTEGERS,
        numba.int64, numba.float64, _PAIRS, _DOUBLES,
    ),
    nogil=False,
)  # fmt: skip
"""Add one stem to the bus (frames, 2) and move the numbers of its strip on.

x: the stem (frames, channels). fold: (2, channels), its channels to left and right.
heads: where the first sample lies, for the main head and the one it is crossfaded with.
crossfade: the main head has the weight (first + i) / second at sample i, and 1 from there on.
ramp: frames of a ramp.
meter: peaks left and right, then sums of squares; only ever grows here.
"""

finish = compiled(
    _finish,
    numba.void(_PAIRS, _DOUBLES, _INTEGERS, numba.int64, _OUT, _DOUBLES),
    nogil=False,
)

add_click = compiled(
    _add_click,
    numba.void(_OUT, numba.int64, _INTEGERS, numba.boolean[::1], _OUT, numba.float64),
    nogil=False,
)

touch = compiled(_touch, numba.float64(_STEM, numba.int64, numba.int64, numba.int64))
