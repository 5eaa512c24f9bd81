"""The tree of stem roles: every name finds its place, and every place leads to the top."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.model.names import stem_colour
from workstation.model.stem_roles import ROLES, belongs_to, lineage, role_of, role_order


@pytest.mark.parametrize(
    ("stem", "role"),
    [
        ("Lead Vocals", "lead_vocals"),
        ("backing-vox", "backing_vocals"),
        ("HH", "hihat"),
        ("Hi Hat", "hihat"),
        ("vox", "vocals"),
        ("no_vocals", "instrumental"),
        ("Keys", "piano"),
        ("Flügelhorn", "flügelhorn"),
    ],
)
def test_names_of_other_programs_find_their_role(stem, role):
    assert role_of(stem) == role


@pytest.mark.parametrize("role", ROLES)
def test_every_role_leads_to_the_top_without_a_circle(role):
    line = lineage(role)
    assert line[0] == role
    assert len(set(line)) == len(line)
    assert ROLES[line[-1]].parent is None
    assert all(belongs_to(role, above) for above in line)


def test_no_name_stands_for_two_roles():
    names = [name for role in ROLES.values() for name in (role.name, *role.aliases)]
    assert len(set(names)) == len(names)


def test_parts_belong_to_their_whole_and_not_the_other_way_round():
    assert belongs_to("kick", "drums")
    assert belongs_to("acoustic_guitar", "other")
    assert belongs_to("backing_vocals", "vocals")
    assert not belongs_to("vocals", "lead_vocals")
    assert not belongs_to("bass_drum", "bass")


def test_tracks_are_ordered_rhythm_first_and_strangers_last():
    stems = ["theremin", "vocals", "other", "kick", "bass"]
    assert sorted(stems, key=role_order) == ["kick", "bass", "other", "vocals", "theremin"]


def test_an_alias_has_the_colour_of_its_role():
    assert stem_colour("Vox", 3) == stem_colour("vocals", 0)
    assert stem_colour("theremin", 0) != stem_colour("theremin", 1)


@given(st.text(max_size=20))
def test_any_text_has_a_role_that_is_its_own_role(name):
    assert role_of(role_of(name)) == role_of(name)
