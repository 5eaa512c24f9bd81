"""Putting stems into a project that REAPER saved, leaving all other lines as they are.

A project is a block of lines, and some of these are blocks: `<NAME …` to `>`. Only four kinds of
things change: the tempo, the markers, the items of tracks that are called like a stem (and their
envelopes of what a take moves), and tracks that are added behind the last one.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from workstation.audio import need_space
from workstation.export import rpp
from workstation.export.own_files import file_in
from workstation.export.stem_files import StemFiles
from workstation.export.target import Plan
from workstation.export.text import one_line
from workstation.model import InputError, JobContext

_MOST_BYTES = 256 << 20
_DEEPEST = 50
_SAVE_IT = "Open it in REAPER, save it again, and give that."
_GUID = re.compile(r"\{[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\}")
# A block of lines: its first, and the one after its last.
_Span = tuple[int, int]


class OwnProject:
    """A project as its lines.

    Args:
        path: Where it was read from.
        lines: All of them, without their ends; bytes that are no UTF-8 are kept as surrogates.
        line_end: What ends the first.
    """

    def __init__(self, path: Path, lines: list[str], line_end: str) -> None:
        self.path = path
        self._lines = lines
        self._end = line_end
        self._header, self._parts = self._top()
        self._taken = {guid for line in lines for guid in _GUID.findall(line)}

    @classmethod
    def read(cls, path: Path) -> OwnProject:
        """Read a project.

        Raises:
            InputError: It is none, is damaged, or is far larger than one is.
        """
        name = one_line(path.name)
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}.", _SAVE_IT) from error
        if len(data) > _MOST_BYTES:
            raise InputError(f"{name} is larger than any REAPER project.", _SAVE_IT)
        if not data.lstrip().startswith(b"<REAPER_PROJECT") or b"\0" in data:
            raise InputError(f"{name} is not a REAPER project.", "Give one that ends in .rpp.")
        text = data.decode("utf-8", errors="surrogateescape")
        end = "\r\n" if "\r\n" in text else "\n"
        return cls(path, text.split(end), end)

    def filled(self, plan: Plan, files: StemFiles) -> tuple[bytes, list[str], tuple[int, ...]]:
        """The project with the stems in it, in words what gave way, and which are on its tracks.

        Args:
            plan: What to put in.
            files: The stems, by their paths as seen from the project.
        """
        notes: list[str] = []
        stems, empty = self._matched(plan)
        changed = {
            span: self._track_with(span, plan, files, index, notes)
            for index, span in enumerate(stems)
            if span is not None
        }
        added: list[str] = []
        for number, group in enumerate(plan.project.folders):
            left = group._replace(
                tracks=[index for index in group.tracks if stems[index] is None],
                empty=[index for index in group.empty if empty[index] is None],
            )
            if left.tracks or left.empty:
                added += self._fresh(rpp.folder_lines(plan, files, left, number))
        if plan.arrangement.master:
            notes.append("The master fader of the take: the master of your project stays.")
        lines = [*self._lines[: self._header + 1], f"  {rpp.tempo_line(plan)}"]
        lines += self._fresh([*rpp.tempo_lines(plan), *rpp.marker_lines(plan)])
        gone = 0
        for start, end in self._parts:
            word = _word(self._lines[start])
            if word == "MARKER":
                gone += 1
            elif (start, end) in changed:
                lines += changed[start, end]
            elif word not in {"TEMPO", "<TEMPOENVEX"}:
                lines += self._lines[start:end]
        if gone:
            notes.append(f"Lines of markers of your project gave way to those of the song: {gone}.")
        last = self._parts[-1][1] if self._parts else self._header + 1
        lines += [*added, *self._lines[last:]]
        text = self._end.join(lines)
        filled = tuple(index for index, span in enumerate(stems) if span is not None)
        return text.encode("utf-8", errors="surrogateescape"), notes, filled

    def media(self, plan: Plan) -> set[str]:
        """Relative paths of the files that are still played with the stems in it."""
        gone: set[int] = set()
        for span in self._matched(plan)[0]:
            for start, end in self._inside(span) if span else ():
                if _word(self._lines[start]) == "<ITEM":
                    gone.update(range(start, end))
        lines = (line for index, line in enumerate(self._lines) if index not in gone)
        paths = {_value(line).replace("\\", "/") for line in lines if _word(line) == "FILE"}
        return {path for path in paths if path and not re.match("/|[A-Za-z]:", path)}

    def _top(self) -> tuple[int, list[_Span]]:
        """The first line of the project, and the spans of what is in it."""
        header = next(i for i, line in enumerate(self._lines) if line.strip())
        spans, depth, start = [], 0, header
        for index, line in enumerate(self._lines):
            word = line.strip()
            depth += word.startswith("<")
            if depth == 2 and word.startswith("<"):
                start = index
            if word == ">":
                depth -= 1
                if depth == 1:
                    spans.append((start, index + 1))
                if depth == 0:
                    if any(rest.strip() for rest in self._lines[index + 1 :]):
                        break
                    return header, spans
            elif depth == 1 and index != header:
                spans.append((index, index + 1))
            if depth > _DEEPEST or (depth < 1 and index >= header):
                break
        raise InputError(
            f"{one_line(self.path.name)} is damaged: its blocks do not close where they should.",
            _SAVE_IT,
        )

    def _matched(self, plan: Plan) -> tuple[list[_Span | None], list[_Span | None]]:
        """For every stem and empty track, the first track of its name that no other one has."""
        free = [span for span in self._parts if _word(self._lines[span[0]]) == "<TRACK"]
        names = {span: self._name_of(span).casefold() for span in free}
        matched: list[_Span | None] = []
        wanted = [track.name for track in plan.project.tracks]
        wanted += [track.name for track in plan.project.empty]
        for name in (one_line(name).casefold() for name in wanted):
            matched.append(next((span for span in free if names[span] == name), None))
            if matched[-1] is not None:
                free.remove(matched[-1])
        count = len(plan.project.tracks)
        return matched[:count], matched[count:]

    def _name_of(self, span: _Span) -> str:
        lines = (self._lines[start] for start, _ in self._inside(span))
        return one_line(next((_value(line) for line in lines if _word(line) == "NAME"), ""))

    def _inside(self, span: _Span) -> Iterator[_Span]:
        """The spans of what is in a block."""
        depth, start = 0, span[0]
        for index in range(span[0] + 1, span[1] - 1):
            word = self._lines[index].strip()
            if word.startswith("<"):
                start = index if depth == 0 else start
                depth += 1
            elif word == ">":
                depth -= 1
                if depth == 0:
                    yield start, index + 1
            elif depth == 0:
                yield index, index + 1

    def _track_with(
        self, span: _Span, plan: Plan, files: StemFiles, index: int, notes: list[str]
    ) -> list[str]:
        """A track with a stem in it; its items, and envelopes that a take has too, give way."""
        name = self._name_of(span)
        envelopes = self._fresh(rpp.envelope_lines(plan, index))
        moved = {line.strip() for line in envelopes if line.strip().startswith("<")}
        channels = rpp.track_channels(files.channels[index])
        kept: list[str] = [self._lines[span[0]]]
        gone = {"<ITEM": 0, "": 0}
        for start, end in self._inside(span):
            word = _word(self._lines[start])
            if word == "<ITEM" or word in moved:
                gone["<ITEM" if word == "<ITEM" else ""] += 1
                continue
            if word.startswith("<") and envelopes:
                kept += envelopes
                envelopes = []
            if word == "NCHAN" and channels > 2 and _value(self._lines[start]) != str(channels):
                kept.append(f"    NCHAN {channels}")
                continue
            kept += self._lines[start:end]
        if gone["<ITEM"]:
            notes.append(f"Items on the track {name} gave way: {gone['<ITEM']}.")
        if gone[""]:
            notes.append(f"Envelopes of the track {name} gave way to the take: {gone['']}.")
        if plan.project.tracks[index].muted:
            _mute(kept)
        items = self._fresh(rpp.item_lines(plan, files.names[index], index))
        return [*kept, *envelopes, *items, self._lines[span[1] - 1]]

    def _fresh(self, lines: Sequence[str]) -> list[str]:
        """Lines of ours without an identifier that the project has, as an earlier export has."""

        def other(match: re.Match[str]) -> str:
            if match[0] not in self._taken:
                return match[0]
            return f"{{{str(uuid.uuid5(uuid.NAMESPACE_OID, 'again ' + match[0])).upper()}}}"

        return [_GUID.sub(other, line) for line in lines]


def copy_media(own: OwnProject, plan: Plan, folder: Path, job: JobContext) -> list[str]:
    """Copy what a project plays from its own folder; tells what stayed behind.

    Args:
        own: The user's project.
        plan: What is put into it.
        folder: The folder of the export; nothing in it is replaced.
        job: Cancellation.
    """
    home = own.path.resolve().parent
    found, missing = {}, 0
    for path in sorted(own.media(plan)):
        source = file_in(home, path)
        target = None if source is None else folder / source.relative_to(home)
        if source is None or target is None or target.exists():
            missing += 1
        else:
            found[source] = target
    need_space(folder, sum(source.stat().st_size for source in found))
    for source, target in found.items():
        job.check()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    if not missing:
        return []
    return [
        f"Media of {one_line(own.path.name)} that were not copied: {missing}. They lie outside its "
        "folder, or are not there. REAPER asks for them when it opens the project."
    ]


def _mute(track: list[str]) -> None:
    """Mute a track in its lines, of which the first opens it; whether it is a solo stays."""
    at = next((i for i, line in enumerate(track) if _word(line) == "MUTESOLO"), None)
    if at is None:
        track.insert(1, "    MUTESOLO 1 0 0")
    else:
        track[at] = re.sub(r"MUTESOLO \S+", "MUTESOLO 1", track[at])


def _word(line: str) -> str:
    return line.strip().partition(" ")[0]


def _value(line: str) -> str:
    """The first value of a line, without the quotation marks it may be in."""
    text = line.strip().partition(" ")[2].strip()
    if text[:1] in {'"', "'", "`"}:
        return text[1:].partition(text[0])[0]
    return text.partition(" ")[0]
