"""Separate every song of a folder: python stems_of_a_folder.py FOLDER

Run it again after an interruption: what is done is not done again.
"""

import sys
from pathlib import Path

import workstation

if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
    sys.exit("Usage: python stems_of_a_folder.py FOLDER")

folder = Path(sys.argv[1])
failed = 0
for song in sorted(folder.iterdir()):
    if song.suffix.lower() not in workstation.DECODABLE_SUFFIXES:
        continue
    try:
        session = workstation.open(song, parent=folder)
        session.separate()
        print(session.path)
    except workstation.WorkstationError as error:
        failed += 1
        print(error, file=sys.stderr)
sys.exit(1 if failed else 0)
