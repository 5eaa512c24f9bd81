"""Levels in an AAF: clips under Mono Audio Gain, whose amplitude varies.

So Pro Tools, Premiere and Resolve write them: the time of a point is a part of the clip, from 0
to 1, and its value an amplitude in units of 2**-29. Points are joined by straight lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workstation.export.automation import Curve
from workstation.export.level import part_of
from workstation.export.pieces import Clip

if TYPE_CHECKING:
    from aaf2.components import OperationGroup, Segment
    from aaf2.file import AAFFile

_GAIN = "9d2ea894-0968-11d3-8a38-0050040ef7d2"
_AMPLITUDE = "e4962321-2267-11d3-8a4c-0050040ef7d2"
_LINEAR = "5b6c85a4-0ede-11d3-80a9-006008143e6f"
_ONE = 1 << 29


class Gains:
    """Puts clips of one file under gains.

    Args:
        file: A new file of `aaf2`, which gets the definitions.
    """

    def __init__(self, file: AAFFile) -> None:
        self._file = file
        dictionary = file.dictionary
        self._amplitude = file.create.ParameterDef(_AMPLITUDE, "Amplitude", "", "Rational")
        dictionary.register_def(self._amplitude)
        self._linear = file.create.InterpolationDef(_LINEAR, "LinearInterp", "")
        dictionary.register_def(self._linear)
        self._gain = file.create.OperationDef(_GAIN, "Mono Audio Gain", "")
        self._gain.media_kind = "sound"
        self._gain["IsTimeWarp"].value = False
        self._gain["NumberInputs"].value = 1
        self._gain["Bypass"].value = 0
        self._gain["OperationCategory"].value = "OperationCategory_Effect"
        self._gain.parameters.append(self._amplitude)
        dictionary.register_def(self._gain)

    def over(self, segment: Segment, clip: Clip, level: Curve) -> OperationGroup:
        """What a clip plays, with its level.

        Args:
            segment: What it plays.
            clip: Where it lies.
            level: Amplitudes over the frames of the project, without steps.
        """
        from aaf2.rational import AAFRational

        group = self._file.create.OperationGroup(self._gain, clip.frames, "sound")
        varying = self._file.create.VaryingValue()
        varying.parameterdef = self._amplitude
        varying.interpolationdef = self._linear
        for frame, value in part_of(level, clip.project_frame, clip.frames):
            point = self._file.create.ControlPoint()
            point.time = AAFRational(int(frame), clip.frames)
            number = AAFRational(round(value * _ONE), _ONE)
            point["Value"].add_pid_entry()
            point["Value"].data = point["Value"].typedef.encode(number, self._amplitude.typedef)
            point["Value"].mark_modified()
            varying.pointlist.append(point)
        group.parameters.append(varying)
        group.segments.append(segment)
        return group
