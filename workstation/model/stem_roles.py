"""What stems are: a tree of roles, so that `lead_vocals` is known to belong to `vocals`.

A role is part of its parent, and the parts of a whole sum to it. Names of stems that are no
role (`flute`, `percussive`) are roles of their own without a parent.
"""

from __future__ import annotations

import re

import msgspec


class StemRole(msgspec.Struct, frozen=True):
    """One role.

    Attributes:
        name: As engines and files call it, in lower case with underscores.
        parent: The role that it is a part of; None at the top.
        colour: As `#rrggbb`.
        aliases: Other names that people and programs give it.
    """

    name: str
    parent: str | None
    colour: str
    aliases: tuple[str, ...] = ()


# In the order of tracks: rhythm first, then what is built on it, voices last.
_TABLE = (
    StemRole("instrumental", None, "#7fa35a", ("no_vocals", "accompaniment", "backing_track")),
    StemRole("drums", "instrumental", "#e95a5a", ("drum", "drum_kit")),
    StemRole("kick", "drums", "#d94848", ("bass_drum", "kick_drum", "bd")),
    StemRole("snare", "drums", "#f07a6a", ("snare_drum", "sd")),
    StemRole("toms", "drums", "#c8635a", ("tom",)),
    StemRole("hihat", "drums", "#f0a08a", ("hi_hat", "hihats", "hi_hats", "hh")),
    StemRole("cymbals", "drums", "#f2b8a0", ("cymbal", "ride", "crash", "overheads")),
    StemRole("percussion", "drums", "#d88a78", ("perc",)),
    StemRole("bass", "instrumental", "#e9a23b", ("bass_guitar", "sub_bass")),
    StemRole("other", "instrumental", "#4fb286", ("others", "melody")),
    StemRole("guitar", "other", "#b07de0", ("guitars",)),
    StemRole("acoustic_guitar", "guitar", "#c49ae6", ("ac_guitar",)),
    StemRole("electric_guitar", "guitar", "#9a68cc", ("el_guitar",)),
    StemRole("piano", "other", "#e07db8", ("keys", "keyboard", "keyboards")),
    StemRole("synth", "other", "#56b4c4", ("synths", "pads")),
    StemRole("strings", "other", "#a8b545", ("string_section",)),
    StemRole("brass", "other", "#c77f5a", ("horns",)),
    StemRole("winds", "other", "#7f8fd9", ("wind", "woodwinds", "reeds")),
    StemRole("vocals", None, "#5a8de9", ("vocal", "vox", "voice", "acapella", "acappella")),
    StemRole("lead_vocals", "vocals", "#5a8de9", ("lead_vocal", "lead_vox")),
    StemRole("backing_vocals", "vocals", "#8fb2f0",
             ("backing_vocal", "backing_vox", "background_vocals", "bvs", "choir")),
    StemRole("residual", None, "#9aa0a6", ("residue",)),
)  # fmt: skip

ROLES = {role.name: role for role in _TABLE}
_ROLE_OF = {alias: role.name for role in _TABLE for alias in (role.name, *role.aliases)}
_ORDER = {role.name: place for place, role in enumerate(_TABLE)}


def role_of(stem: str) -> str:
    """The role of a stem by its name: that of the table, else the name itself in lower case.

    >>> role_of("Lead Vox"), role_of("Hi-Hat"), role_of("Theremin")
    ('lead_vocals', 'hihat', 'theremin')
    """
    plain = re.sub(r"[\s_-]+", "_", stem.strip().lower())
    return _ROLE_OF.get(plain, plain)


def lineage(stem: str) -> tuple[str, ...]:
    """The role of a stem, then those that it is a part of, up to the top.

    >>> lineage("kick")
    ('kick', 'drums', 'instrumental')
    """
    name: str | None = role_of(stem)
    found: list[str] = []
    while name is not None:
        found.append(name)
        role = ROLES.get(name)
        name = role.parent if role else None
    return tuple(found)


def belongs_to(stem: str, role: str) -> bool:
    """Whether a stem is a role or a part of it.

    >>> belongs_to("backing_vocals", "vocals"), belongs_to("vocals", "backing_vocals")
    (True, False)
    """
    return role_of(role) in lineage(stem)


def stems_with_role(stems: tuple[str, ...] | list[str], role: str) -> list[str]:
    """The stems that are a role or parts of it, in their order.

    >>> stems_with_role(["kick", "snare", "bass"], "drums")
    ['kick', 'snare']
    """
    return [stem for stem in stems if belongs_to(stem, role)]


def role_order(stem: str) -> int:
    """Place of a stem in the order of tracks; stems of no known role come last.

    >>> sorted(["vocals", "flute", "bass", "kick"], key=role_order)
    ['kick', 'bass', 'vocals', 'flute']
    """
    return _ORDER.get(role_of(stem), len(_ORDER))


def is_usual(stem: str) -> bool:
    """Whether a stem is called exactly as a role of the table, in any case."""
    return stem.lower() in ROLES


def role_colour(stem: str) -> str | None:
    """Colour of a stem by its role; None where the role is not known."""
    role = ROLES.get(role_of(stem))
    return role.colour if role else None
