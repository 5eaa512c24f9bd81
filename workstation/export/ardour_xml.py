"""How an Ardour session is written: elements with numbers in them, and its unit of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element

SUPERCLOCKS = 282_240_000  # In a second.


def add(parent: _Element, tag: str, values: Mapping[str, object]) -> _Element:
    """Add an element with its attributes behind the others."""
    from lxml import etree

    return etree.SubElement(parent, tag, {key: str(value) for key, value in values.items()})


def superclocks(time_s: float) -> int:
    """The nearest place on Ardour's clock."""
    return round(time_s * SUPERCLOCKS)
