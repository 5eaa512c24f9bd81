"""The terminal screen: one face of the engine. It holds no logic of its own."""
