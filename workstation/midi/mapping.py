"""Mapping files: TOML in `presets/`, and in the user's own folder, whose files hide shipped ones.

One `[[bind]]` can stand for a row of knobs: `numbers` (or `channels`) list what they send, and
`#` in `to` counts them from 1: `to = "strip#.gain"`. See `presets/README.md`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from workstation.config import config_dir, shipped_folder
from workstation.model import InputError, UsageError
from workstation.model.controls import mapping_targets
from workstation.model.midi_mapping import (
    Binding,
    Channel,
    Echo,
    Led,
    MessageKind,
    MessageSpec,
    MidiMapping,
    Seven,
    Takeover,
)


class _Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys that say which message, shared by a binding, its LED and its echo."""

    message: MessageKind | None = None
    channel: Channel | None = None
    channels: tuple[Channel, ...] | None = None
    number: Seven | None = None
    numbers: tuple[Seven, ...] | None = None


class _LedRow(_Sent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    off: Seven = 0
    on: Seven = 127
    pending: Seven | None = None
    pending_channel: Channel | None = None
    invert: bool = False
    by_stem: dict[str, Seven] = {}


class _EchoRow(_Sent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    low: Seven = 0
    high: Seven = 127


class _Row(_Sent, frozen=True, forbid_unknown_fields=True, kw_only=True):
    to: str
    encoding: Literal["twos", "sign", "offset"] = "twos"
    mode: Literal["toggle", "hold", "set"] | None = None
    value: float | None = None
    takeover: Takeover | None = None
    invert: bool = False
    shift: bool = False
    led: _LedRow | None = None
    echo: _EchoRow | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    verified: bool = False
    source: str = ""
    takeover: Takeover = "pickup"
    init: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    display: Literal["mackie"] | None = None
    bind: tuple[_Row, ...] = ()


def user_presets() -> Path:
    """Folder of the user's own mappings."""
    return config_dir() / "presets"


def mapping_files() -> dict[str, Path]:
    """All mapping files by id; the user's own hide shipped ones of the same name."""
    found = {path.stem: path for path in sorted(shipped_folder("presets").glob("*.toml"))}
    found |= {path.stem: path for path in sorted(user_presets().glob("*.toml"))}
    return found


def find_mapping(name: str) -> MidiMapping:
    """Read a mapping by its id or by the path of its file.

    Raises:
        UsageError: There is none of that name.
        InputError: The file is no mapping.
    """
    files = mapping_files()
    if name in files:
        return read_mapping(files[name])
    if name.endswith(".toml"):
        return read_mapping(Path(name))
    near = difflib.get_close_matches(name, files, n=1)
    hint = f'Did you mean "{near[0]}"?' if near else "See `workstation midi presets`."
    raise UsageError(f'There is no controller mapping "{name}".', hint)


def mapping_for_port(port: str, mappings: list[MidiMapping]) -> MidiMapping | None:
    """Choose the mapping of a port: the one whose known name is the longest part of it.

    None also for the second port of a device that its mapping names as not meant.
    """
    best: tuple[int, MidiMapping] | None = None
    for mapping in mappings:
        for known in mapping.ports:
            if known.lower() in port.lower() and (best is None or len(known) > best[0]):
                best = (len(known), mapping)
    if best is None or any(word.lower() in port.lower() for word in best[1].not_ports):
        return None
    return best[1]


def all_mappings(damaged: Callable[[InputError], None] | None = None) -> list[MidiMapping]:
    """Every mapping there is, the user's own first.

    Args:
        damaged: Is told of a file that cannot be read, and the rest is used; without it, such
            a file is an error.
    """
    own = user_presets()
    files = sorted(mapping_files().values(), key=lambda p: (p.parent != own, p.stem))
    mappings = []
    for path in files:
        try:
            mappings.append(read_mapping(path))
        except InputError as error:
            if damaged is None:
                raise
            damaged(error)
    return mappings


def read_mapping(path: Path) -> MidiMapping:
    """Read a mapping file.

    Raises:
        InputError: It cannot be read, is not TOML, or says something that cannot be.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The mapping {path} cannot be read: {error}.", "Check the file and its permissions."
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"The mapping {path} is not TOML: {error}.", "Mend that line.") from error
    try:
        file = msgspec.convert(values, _File)
        bindings = tuple(b for row in file.bind for b in _expand(row))
        return MidiMapping(
            id=path.stem,
            name=file.name,
            ports=file.ports,
            not_ports=file.not_ports,
            bindings=bindings,
            verified=file.verified,
            source=file.source,
            takeover=file.takeover,
            init=tuple(bytes.fromhex(text) for text in file.init),
            reset=tuple(bytes.fromhex(text) for text in file.reset),
            display=file.display,
        )
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(
            f"The mapping {path} has a mistake: {error}.", "See presets/README.md for the keys."
        ) from error


def _expand(row: _Row) -> list[Binding]:
    """Turn one row of the file into one binding for each of its knobs."""
    if row.message is None:
        raise ValueError(f'"{row.to}" does not say which message')
    sent = MessageSpec(row.message, row.channel or 1, row.number or 0, row.encoding)
    messages = _messages(row, sent)
    if len(messages) > 1 and "#" not in row.to:
        raise ValueError(f'"{row.to}" has no # to count its {len(messages)} knobs')
    bindings = []
    for index, message in enumerate(messages):
        to = row.to.replace("#", str(index + 1))
        _check_target(to)
        led = None if row.led is None else _led(row.led, message, index)
        echo = None
        if row.echo is not None:
            echo = Echo(_nth(row.echo, message, index), row.echo.low, row.echo.high)
        bindings.append(
            Binding(
                message, to, row.mode, row.value, row.takeover, row.invert, row.shift, led, echo
            )
        )
    return bindings


def _check_target(to: str) -> None:
    """Refuse what no song can have; a name of a stem (`vocals.mute`) is taken on trust."""
    targets = mapping_targets()
    what = {spec.split(".", 1)[1] for spec in targets if spec.startswith("strip1.")}
    where, dot, rest = to.rpartition(".")
    if to in targets or (dot and rest in what and where and not where.startswith("strip")):
        return
    near = difflib.get_close_matches(to, targets, n=1)
    raise ValueError(
        f'there is no control "{to}"' + (f', did you mean "{near[0]}"?' if near else "")
    )


def _messages(row: _Sent, like: MessageSpec) -> list[MessageSpec]:
    """The messages that a row lists; what it does not say is as in `like`."""
    kind = row.message or like.kind
    if kind != "relative":
        like = msgspec.structs.replace(like, encoding="twos")
    if kind == "pitchbend":
        like = msgspec.structs.replace(like, number=0)
    if row.numbers is not None and row.channels is not None:
        raise ValueError("give numbers or channels, not both")
    replace = msgspec.structs.replace
    if row.channels is not None:
        number = like.number if row.number is None else row.number
        return [replace(like, kind=kind, channel=c, number=number) for c in row.channels]
    channel = like.channel if row.channel is None else row.channel
    numbers = row.numbers or ((like.number if row.number is None else row.number),)
    return [replace(like, kind=kind, channel=channel, number=n) for n in numbers]


def _nth(row: _Sent, like: MessageSpec, index: int) -> MessageSpec:
    messages = _messages(row, like)
    if len(messages) == 1:
        return messages[0]
    if index >= len(messages):
        raise ValueError("an LED or echo lists fewer messages than its row has knobs")
    return messages[index]


def _led(row: _LedRow, message: MessageSpec, index: int) -> Led:
    return Led(
        message=_nth(row, message, index),
        off=row.off,
        on=row.on,
        pending=row.pending,
        pending_channel=row.pending_channel,
        invert=row.invert,
        by_stem=row.by_stem,
    )


def mapping_text(mapping: MidiMapping) -> str:
    """A mapping as the text of a file: one `[[bind]]` for each knob."""
    lines = [f"name = {_quoted(mapping.name)}"]
    lines.append(f"ports = [{', '.join(_quoted(p) for p in mapping.ports)}]")
    if mapping.not_ports:
        lines.append(f"not_ports = [{', '.join(_quoted(p) for p in mapping.not_ports)}]")
    lines.append(f"verified = {str(mapping.verified).lower()}")
    if mapping.source:
        lines.append(f"source = {_quoted(mapping.source)}")
    lines.append(f'takeover = "{mapping.takeover}"')
    for key, messages in (("init", mapping.init), ("reset", mapping.reset)):
        if messages:
            lines.append(f"{key} = [{', '.join(_quoted(m.hex(' ').upper()) for m in messages)}]")
    if mapping.display is not None:
        lines.append(f'display = "{mapping.display}"')
    for binding in mapping.bindings:
        lines += ["", "[[bind]]", *_binding_lines(binding)]
    return "\n".join(lines) + "\n"


def _binding_lines(binding: Binding) -> list[str]:
    lines = [*_message_items(binding.message), f"to = {_quoted(binding.to)}"]
    if binding.message.kind == "relative":
        lines.append(f'encoding = "{binding.message.encoding}"')
    lines += [f'{k} = "{v}"' for k in ("mode", "takeover") if (v := getattr(binding, k))]
    if binding.value is not None:
        lines.append(f"value = {binding.value!r}")
    lines += [f"{key} = true" for key in ("invert", "shift") if getattr(binding, key)]
    if binding.led is not None:
        lines.append(f"led = {{ {', '.join(_led_items(binding.led))} }}")
    if binding.echo is not None:
        echo = binding.echo
        items = [*_message_items(echo.message), f"low = {echo.low}", f"high = {echo.high}"]
        lines.append(f"echo = {{ {', '.join(items)} }}")
    return lines


def _led_items(led: Led) -> list[str]:
    items = [*_message_items(led.message), f"off = {led.off}", f"on = {led.on}"]
    for name in ("pending", "pending_channel"):
        value = getattr(led, name)
        items += [] if value is None else [f"{name} = {value}"]
    items += ["invert = true"] if led.invert else []
    if led.by_stem:
        colours = ", ".join(f"{_quoted(k)} = {v}" for k, v in led.by_stem.items())
        items.append(f"by_stem = {{ {colours} }}")
    return items


def _message_items(message: MessageSpec) -> list[str]:
    items = [f'message = "{message.kind}"', f"channel = {message.channel}"]
    if message.kind != "pitchbend":
        items.append(f"number = {message.number}")
    return items


def _quoted(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's as well, but for the delete character."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def as_values(mapping: MidiMapping) -> dict[str, Any]:
    """A mapping as plain values, for `--json`."""
    values: dict[str, Any] = msgspec.to_builtins(
        msgspec.structs.replace(mapping, init=(), reset=())
    )
    values["init"] = [m.hex(" ") for m in mapping.init]
    values["reset"] = [m.hex(" ") for m in mapping.reset]
    return values
