"""Learning what was moved from what it sent."""

import pytest

from workstation.midi.learn import recognise
from workstation.midi.messages import encode
from workstation.model.midi_mapping import MessageSpec


def cc(number, values, channel=1):
    return [m for v in values for m in encode("cc", channel, number, v)]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (cc(20, range(0, 128, 3)), MessageSpec("cc", 1, 20)),
        (cc(20, [*range(60, 70), *range(70, 55, -1)], 5), MessageSpec("cc", 5, 20)),
        (cc(20, [127, 0]), MessageSpec("cc", 1, 20)),
        (cc(16, [1, 1, 1, 2, 1, 127, 127, 126, 127]), MessageSpec("relative", 1, 16, "twos")),
        (cc(16, [1, 1, 1, 2, 2, 65, 65, 66, 66]), MessageSpec("relative", 1, 16, "sign")),
        (cc(16, [65, 65, 65, 66, 63, 63, 63]), MessageSpec("relative", 1, 16, "offset")),
        (encode("note", 10, 36, 90) + encode("note", 10, 36, 0), MessageSpec("note", 10, 36)),
        (
            [m for v in range(0, 16000, 700) for m in encode("cc14", 1, 7, v)],
            MessageSpec("cc14", 1, 7),
        ),
        (
            [
                *encode("note", 1, 104, 127),
                *(m for v in range(0, 16000, 900) for m in encode("pitchbend", 1, 0, v)),
                *encode("note", 1, 104, 0),
            ],
            MessageSpec("pitchbend", 1, 0),
        ),
        (encode("program", 1, 5, 0), MessageSpec("program", 1, 5)),
    ],
)
def test_what_was_moved_is_recognised(messages, expected):
    assert recognise(messages) == expected


def test_clock_and_active_sensing_are_not_a_movement():
    assert recognise([b"\xf8", b"\xfe"]) is None
