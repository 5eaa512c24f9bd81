"""Layouts: what a project looks like, as TOML in `templates/` and in the user's own folder.

A file in the user's folder hides a shipped one of the same name. See `templates/README.md`.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from workstation.config import config_dir, shipped_folder
from workstation.model import InputError, UsageError

# What a row stands for besides stems: an empty track, or one that is made for the project.
Kind = Literal["stems", "empty", "bus", "click", "count-in"]
MADE: frozenset[Kind] = frozenset({"click", "count-in"})
_MOST_BYTES = 1 << 20


class TrackRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[track]]` of a layout.

    Attributes:
        kind: `stems`, an `empty` track or `bus` for what the user adds, or a track that is made:
            `click` for the whole song, `count-in` for the bars before it.
        stems: Names of the stems that land here, each on a track; `*` and `?` stand for letters,
            so `*` alone is all that no other row names.
        name: Of the track; without one it is called after its stem.
        colour: As `#rrggbb`; without one it has that of its stem.
        group: Name of the folder that it lies in.
        muted: Whether it is muted at first.
        output: First of its two outputs of the device, from 1; none is the master.
    """

    kind: Kind = "stems"
    stems: tuple[str, ...] = ()
    name: str = ""
    colour: Annotated[str, msgspec.Meta(pattern="^(#[0-9a-fA-F]{6})?$")] = ""
    group: str = ""
    muted: bool = False
    output: Annotated[int, msgspec.Meta(ge=1, le=127)] | None = None


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a project looks like.

    Attributes:
        template_version: Version of this schema.
        summary: One line on what it is for.
        markers: At `sections`, at every one of the `bars` too, at the `edges` (intro and outro,
            with their lengths in bars), or `none`.
        encoding: Of the audio, where none is asked for.
        lead_in: How the first downbeat comes to a bar line: `pickup` leaves the stems as they
            are, and a first bar of its own takes the time before it; `padding` puts silence
            before all stems, so that whole bars of the song's tempo precede it.
        count_in_bars: Bars of silence before the song; they need `padding`.
        loop_bars: Length of the loops that are cut from every stem where sections start; 0 is none.
        track: The tracks, from the top.
    """

    template_version: Literal[1]
    summary: str
    markers: Literal["sections", "bars", "edges", "none"] = "sections"
    encoding: Literal["pcm24", "float32", "flac", "mp3"] | None = None
    lead_in: Literal["pickup", "padding"] = "pickup"
    count_in_bars: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    loop_bars: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    track: tuple[TrackRow, ...] = ()


def user_layouts() -> Path:
    """Folder of the user's own layouts."""
    return config_dir() / "templates"


def layout_files() -> dict[str, Path]:
    """All layout files by name; the user's own hide shipped ones."""
    found = {path.stem: path for path in sorted(shipped_folder("templates").glob("*.toml"))}
    return found | {path.stem: path for path in sorted(user_layouts().glob("*.toml"))}


def is_layout(name: str | Path) -> bool:
    """Whether this names a layout rather than a project of some program."""
    return str(name).endswith(".toml") or str(name) in layout_files()


def layout_file(name: str | Path) -> Path:
    """Find the file of a layout by its name or path.

    Raises:
        UsageError: There is none of that name.
    """
    files = layout_files()
    if str(name) in files:
        return files[str(name)]
    if str(name).endswith(".toml"):
        return Path(name)
    near = difflib.get_close_matches(str(name), files, n=1)
    hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(files)}."
    raise UsageError(f'There is no template "{name}".', hint)


def find_layout(name: str | Path) -> Layout:
    """Read a layout by its name or the path of its file.

    Raises:
        UsageError: There is none of that name.
        InputError: The file is no layout.
    """
    return read_layout(layout_file(name))


def read_layout(path: Path) -> Layout:
    """Read the file of a layout.

    Raises:
        InputError: It cannot be read, is not TOML, or says something that cannot be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(
                f"The template {path} is larger than {_MOST_BYTES >> 20} MiB.",
                "Give a template; templates/README.md says what is in one.",
            )
        values = tomllib.loads(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The template {path} cannot be read: {error}.", "Check the file and its permissions."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The template {path} is not TOML: {error}.", "Mend that line.") from error
    except RecursionError as error:
        raise InputError(
            f"The template {path} has a mistake: its brackets are nested too deep.",
            "See templates/README.md for the keys.",
        ) from error
    _refuse_unknown(path, values)
    try:
        layout = msgspec.convert(values, Layout)
        _check(layout)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(
            f"The template {path} has a mistake: {error}.", "See templates/README.md for the keys."
        ) from error
    return layout


def _refuse_unknown(path: Path, values: dict[str, object]) -> None:
    """An unknown key is most likely a known one, misspelt."""
    rows = values.get("track")
    rows = rows if isinstance(rows, list) else []
    places = [("", values, Layout.__struct_fields__)]
    places += [
        (f" in track {number}", row, TrackRow.__struct_fields__)
        for number, row in enumerate(rows, start=1)
        if isinstance(row, dict)
    ]
    for where, keys, known in places:
        for key in keys:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f'Did you mean "{near[0]}"?' if near else f"Keys: {', '.join(known)}."
                raise InputError(f'The template {path} has an unknown key "{key}"{where}.', hint)


def _check(layout: Layout) -> None:
    if not layout.track:
        raise ValueError("it has no [[track]]")
    if layout.count_in_bars and layout.lead_in != "padding":
        raise ValueError('count_in_bars needs lead_in = "padding"')
    for number, row in enumerate(layout.track, start=1):
        if (row.kind == "stems") != bool(row.stems):
            what = "names no stems" if row.kind == "stems" else f"is {row.kind}, and names stems"
            raise ValueError(f"track {number} {what}")
        if row.kind != "stems" and not row.name:
            raise ValueError(f"track {number} has no name")
    kinds = [row.kind for row in layout.track]
    for kind in MADE:
        if kinds.count(kind) > 1:
            raise ValueError(f"it has more than one track that is {kind}")
    if "count-in" in kinds and not layout.count_in_bars:
        raise ValueError("it has a count-in, and no count_in_bars")
