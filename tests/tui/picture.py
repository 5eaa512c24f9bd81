"""Makes the picture of the README: `python tests/tui/picture.py`.

It is the screen as it is, with the demo song: a test compares its words with a new one.
"""

import asyncio
import re
import tempfile
from html import unescape
from pathlib import Path

from workstation.model import JobContext
from workstation.perform.outputs import OutputOptions
from workstation.studio.demo import demo_session
from workstation.studio.player import Connections

PICTURE = Path(__file__).with_name("session.svg")


def draw(folder):
    """The screen of the demo song in a place with some mixing done, as SVG."""
    from workstation.tui.app import WorkstationApp
    from workstation.tui.screens.session import SessionScreen

    session = demo_session(Path(folder), JobContext())

    async def run():
        output = OutputOptions(device="none")
        app = WorkstationApp(session.path, output, Connections(any_controller=False))
        async with app.run_test(size=(124, 34)) as pilot:
            while not (isinstance(app.screen, SessionScreen) and app.screen.player):
                await pilot.pause(0.05)
            screen = app.screen
            while len(screen.lanes._peaks) < len(session.stems):
                await pilot.pause(0.05)
            player = screen.player
            grid = player.grid
            player.loop(bars=(9, 13))
            player.seek(bar=10)
            player.set("other.mute", 1)
            player.set("bass.gain", -3.0)
            player.set("bass.pan", -0.2)
            player.set("vocals.filter", 0.3)
            player.set("quantize.grid", 2)
            await pilot.press("down", "down", "down")
            start = grid.time_at(grid.beat_of_bar(7))
            each = (grid.time_at(grid.beat_of_bar(17)) - start) / screen.timeline.columns
            screen._show_timeline(screen.timeline._replace(start_s=start, column_s=each))
            await pilot.pause(0.6)
            return app.export_screenshot(title="workstation", simplify=True)

    svg = asyncio.run(run())
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def words(svg):
    """What the picture says."""
    rows = re.findall(r"<text[^>]*clip-path[^>]*>(.*?)</text>", svg)
    return [unescape(row).replace("\xa0", " ").strip() for row in rows]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PICTURE.write_text(draw(temporary), encoding="utf-8")
    print(PICTURE)
