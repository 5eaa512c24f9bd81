"""Times, levels and places as the screens write them."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from urllib.parse import unquote, urlparse

from rich.cells import set_cell_size

from workstation.model import BarPosition


def clock(time_s: float, *, tenths: bool = True) -> str:
    """A time: `3:07.4`, or with hours `1:02:03.4`."""
    whole = int(time_s * 10 + 1e-6)
    seconds, tenth = divmod(whole, 10)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{text}.{tenth}" if tenths else text


def place(bar: BarPosition | None) -> str:
    """A place in bars and beats: `7.2`."""
    return "–" if bar is None else f"{bar.bar}.{int(bar.beat)}"


def pan_words(pan: float) -> str:
    """`C`, `L30`, `R100`."""
    percent = round(abs(pan) * 100)
    return "C" if percent == 0 else f"{'L' if pan < 0 else 'R'}{percent}"


def filter_words(value: float) -> str:
    """`LP40` closes from above, `HP40` from below, `·` is open."""
    percent = round(abs(value) * 100)
    return "·" if percent == 0 else f"{'LP' if value < 0 else 'HP'}{percent}"


def fit(text: str, width: int) -> str:
    """Text in exactly so many cells; what is too long ends with `…`."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    sized = set_cell_size(text, width)
    if sized.rstrip() == text.rstrip() or width < 2:
        return sized
    return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)


def left_words(seconds: float | None) -> str:
    """Time left: `1:20 left`."""
    return "" if seconds is None else f"{clock(seconds + 0.5, tenths=False)} left"


def typed_path(text: str) -> Path:
    """A path as somebody types it; `~` is the home folder, where there is one of that name."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:  # There is no such user; the path as it stands will not be there.
        return path


def pasted_paths(text: str) -> list[Path]:
    """The paths in a pasted text: one a line, quoted or escaped as shells do, or `file://`."""
    paths: list[Path] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if (whole := _path(line)) is not None:
            paths.append(whole)
            continue
        with contextlib.suppress(ValueError):  # A quotation mark without its partner: no path.
            paths += [path for part in shlex.split(line) if (path := _path(part)) is not None]
    return paths


def _path(text: str) -> Path | None:
    if text.startswith("file://"):
        text = unquote(urlparse(text).path)
    path = typed_path(text)
    try:
        return path if path.exists() else None
    except (OSError, ValueError):
        return None
