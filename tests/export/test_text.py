"""Any text becomes one line that XML, MIDI and terminals can hold."""

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from workstation.export.text import one_line


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_one_line_that_xml_can_hold(text):
    line = one_line(text)
    element = etree.Element("x")
    element.text = line
    assert etree.fromstring(etree.tostring(element)).text in {line, None}
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line


def test_names_in_any_script_and_joined_emoji_stay_as_they_are():
    for name in ("Björk – Jóga", "宇多田ヒカル", "👩‍🚀", "نجاة"):
        assert one_line(name) == name


def test_what_turns_the_direction_of_text_goes():
    assert one_line("a\u202egpj.exe") == "a gpj.exe"
