"""Takes on disk: kept, found, renamed, deleted, brought back; a crash loses little."""

import json
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.model import InputError, UsageError
from workstation.model.mixer import MixerState
from workstation.model.take import Take, TakeEvent, TakeStart
from workstation.session import TakeJournal, TakeShelf, begin_take

START = TakeStart(0, playing=False, loop=None, mixer=MixerState.neutral(("drums", "bass")))


def take(name="", events=(), length=1000):
    made = begin_take(START, stems=("drums", "bass"), engine="dsp", sample_rate_hz=44100)
    return msgspec.structs.replace(made, name=name, events=tuple(events), length_frames=length)


@pytest.fixture
def shelf(tmp_path):
    return TakeShelf(tmp_path / "takes")


def test_takes_are_numbered_and_found_by_number_name_or_as_the_last(shelf):
    assert shelf.numbered() == {}
    assert shelf.add(take()).name == "Take 1"
    assert shelf.add(take("solo")).name == "solo"
    assert shelf.add(take("solo")).name == "solo 2"
    assert [shelf.find(n).name for n in ("1", "solo", "last", "Take 1")] == [
        "Take 1", "solo", "solo 2", "Take 1",
    ]  # fmt: skip
    shelf.add(take("Solo"))
    assert [shelf.find(n).name for n in ("Solo", "solo", "TAKE 1")] == ["Solo", "solo", "Take 1"]
    with pytest.raises(UsageError) as error:
        shelf.find("four")
    assert "1 (Take 1), 2 (solo)" in error.value.remedy


def test_everything_can_be_undone_in_its_order(shelf):
    shelf.add(take("one"))
    shelf.add(take("two"))
    shelf.rename("one", "first")
    shelf.delete("2")
    assert [t.name for t in shelf.numbered().values()] == ["first"]
    assert "two" in shelf.undo()
    assert "one" in shelf.undo()
    assert [t.name for t in shelf.numbered().values()] == ["one", "two"]
    shelf.undo()
    shelf.undo()
    assert shelf.numbered() == {}
    with pytest.raises(UsageError, match="nothing to undo"):
        shelf.undo()
    assert shelf.add(take()).name == "Take 3"  # A number is never used again.


@pytest.mark.parametrize("name", ["", "7", "last", "two"])
def test_names_that_would_hide_a_take_are_refused(shelf, name):
    shelf.add(take("one"))
    shelf.add(take("two"))
    with pytest.raises(UsageError):
        shelf.rename("one", name)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": "x"}', "9" * 5000]
)
def test_a_damaged_take_is_named(shelf, text):
    shelf.add(take())
    (shelf.folder / "1.json").write_text(text)
    with pytest.raises(InputError, match=r"1\.json"):
        shelf.numbered()


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate_hz": 0},
        {"length_frames": -1},
        {"events": [{"frame": 5, "control": "flute.mute", "value": 1.0}]},
        {"events": [{"frame": 5, "control": "drums.mute", "value": float("nan")}]},
        {"events": [{"frame": -5, "control": "drums.mute", "value": 1.0}]},
        {"events": [{"frame": 5, "control": "drums.stutter", "value": 8.0, "slice": [0, 0]}]},
        {
            "events": [
                {"frame": 9, "control": "drums.mute", "value": 1.0},
                {"frame": 5, "control": "drums.mute", "value": 0.0},
            ]
        },
        {"stems": ["drums", "drums"]},
    ],
)
def test_a_take_that_no_player_made_is_refused(shelf, change):
    shelf.add(take())
    file = shelf.folder / "1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(InputError, match=r"1\.json is damaged"):
        shelf.find("1")


def test_a_take_of_a_newer_version_says_so(shelf):
    shelf.add(take())
    file = shelf.folder / "1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 99}))
    with pytest.raises(InputError, match="newer version"):
        shelf.numbered()


def test_a_journal_becomes_the_take(shelf):
    journal = TakeJournal(shelf, take("live", length=0))
    journal.append([TakeEvent(10, "drums.mute", 1.0)], 500)
    assert shelf.numbered() == {}  # Its player is alive.
    journal.append([TakeEvent(700, "drums.mute", 0.0)], 900)
    kept = journal.finish(1000)
    assert shelf.find("live") == kept
    assert [e.frame for e in kept.events] == [10, 700]
    assert list(shelf.folder.glob(".*.journal")) == []


RECORD = """
import sys, time
from pathlib import Path
from tests.session.test_takes import take
from workstation.model.take import TakeEvent
from workstation.session import TakeJournal, TakeShelf
journal = TakeJournal(TakeShelf(Path(sys.argv[1])), take("live", length=0))
for second in range(1, 1000):
    journal.append([TakeEvent(second * 100, "drums.mute", float(second % 2))], second * 100)
    print(second, flush=True)
    time.sleep(0.01)
"""


def test_a_killed_player_leaves_all_but_the_last_moment(shelf):
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(shelf.folder)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(20):
        said = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    said = int(rest[-1]) if rest else said
    (journal,) = shelf.folder.glob(".*.journal")
    with journal.open("ab") as file:
        file.write(b'{"frame": 99')  # Half a line.
    (found,) = shelf.numbered().values()
    assert found.name == "live"
    assert said * 100 <= found.length_frames <= said * 100 + 100
    assert [e.frame for e in found.events] == [100 * k for k in range(1, len(found.events) + 1)]
    assert list(shelf.folder.glob(".*.journal")) == []


def test_a_journal_that_no_player_wrote_stops_nothing_and_is_not_thrown_away(shelf):
    shelf.add(take("one"))
    (shelf.folder / ".bad.journal").write_text('{"name": 3}\n{"frame": 1}\n')
    assert [t.name for t in shelf.numbered().values()] == ["one"]
    assert (shelf.folder / ".bad.damaged").is_file()


def test_nobody_can_lead_the_shelf_outside(shelf, tmp_path):
    shelf.add(take("one"))
    (tmp_path / "precious.json").write_text("x")
    acts = [
        {"act": "deleted", "file": "../precious.json"},
        {"act": "added", "file": "../precious.json"},
    ]
    (shelf.folder / ".history.json").write_text(json.dumps(acts))
    with pytest.raises(UsageError, match="nothing to undo"):
        shelf.undo()
    assert (tmp_path / "precious.json").read_text() == "x"


def test_two_players_may_end_their_takes_at_once(shelf):
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.session.test_takes import take\n"
        "from workstation.session import TakeShelf\n"
        "[TakeShelf(Path(sys.argv[1])).add(take()) for _ in range(10)]"
    )
    command = [sys.executable, "-c", code, str(shelf.folder)]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(shelf.numbered()) == list(range(1, 21))


numbers = st.floats(allow_nan=False, allow_infinity=False)
takes = st.builds(
    Take,
    name=st.text(max_size=20),
    stems=st.lists(st.text(max_size=5), max_size=4).map(tuple),
    engine=st.text(max_size=5),
    sample_rate_hz=st.integers(1, 192000),
    start=st.builds(
        TakeStart, st.integers(0, 10**9), st.booleans(),
        st.none() | st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
        st.just(START.mixer), st.dictionaries(st.text(max_size=3), st.lists(numbers, max_size=5)),
    ),
    length_frames=st.integers(0, 10**10),
    events=st.lists(
        st.builds(
            TakeEvent, st.integers(0, 10**9), st.text(max_size=10), numbers, st.integers(0, 10**6),
            st.none() | st.tuples(st.integers(0, 10**9), st.integers(1, 10**6)),
        ),
        max_size=8,
    ).map(tuple),
)  # fmt: skip


@given(takes)
def test_a_take_survives_its_file_to_the_last_bit(made):
    assert msgspec.json.decode(msgspec.json.encode(made), type=Take) == made


def test_the_clock_of_a_take_is_that_of_the_world():
    made = take()
    assert made.created.endswith("+00:00")
    assert abs(time.time() - _seconds(made.created)) < 60


def _seconds(text):
    import datetime

    return datetime.datetime.fromisoformat(text).timestamp()
