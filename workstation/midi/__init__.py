"""Controllers: MIDI bytes in, control changes out, and the lights that answer."""
