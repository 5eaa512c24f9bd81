"""Write a song without its vocals: python karaoke.py song.mp3"""

import sys
from pathlib import Path

import workstation

if len(sys.argv) != 2:
    sys.exit("Usage: python karaoke.py SONG")

out = Path(f"{Path(sys.argv[1]).stem} (karaoke).wav")
if out.exists():
    sys.exit(f"{out} is there already; move it away first.")

try:
    session = workstation.open(sys.argv[1])
    stems = session.separate()
    karaoke = session.mix(name for name in stems if name != "vocals")
    workstation.write_audio(out, karaoke, session.song.source.sample_rate_hz)
except workstation.WorkstationError as error:
    sys.exit(str(error))
print(out)
