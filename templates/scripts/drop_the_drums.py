"""Play a song and drop its drums in every eighth bar; what was played is kept as a take.

Usage: python drop_the_drums.py SONG [DEVICE]
"""

import sys

import workstation

song, *device = sys.argv[1:]
session = workstation.open(song)
output = workstation.OutputOptions(device=device[0] if device else None)
with session.player(output, say=print) as player:

    def drop(bar: int) -> None:
        """Called at every downbeat: what waits for the next bar falls on its very frame."""
        if bar % 8 in {7, 0}:
            player.set("drums.mute", bar % 8 == 7, at="bar")

    player.on_bar(drop)
    player.record("dropped drums")
    player.play()
    player.wait()
print(session.render("dropped drums.wav", take="last", overwrite=True).path)
