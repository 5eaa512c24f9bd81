"""Play a song and drop its drums in every eighth bar: python drop_the_drums.py song.mp3 [DEVICE]

What was played is kept as a take, and rendered.
"""

import sys

import workstation

if len(sys.argv) not in {2, 3}:
    sys.exit("Usage: python drop_the_drums.py SONG [DEVICE]")

try:
    session = workstation.open(sys.argv[1])
    output = workstation.OutputOptions(device=sys.argv[2] if len(sys.argv) > 2 else None)
    with session.player(output, say=print) as player:

        def drop(bar: int) -> None:
            """Called at every downbeat; what waits for the next bar falls on its very frame."""
            player.set("drums.mute", bar % 8 == 7, at="bar")

        player.on_bar(drop)
        player.record("dropped drums")
        player.play()
        player.wait()
    print(session.render("dropped drums.wav", take="last", overwrite=True).path)
except workstation.WorkstationError as error:
    sys.exit(str(error))
