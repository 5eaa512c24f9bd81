"""Playing stems: transport, mixer, takes, the same mixing live and offline."""
