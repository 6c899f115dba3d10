"""Device models. A device knows register offsets, its interrupt lines and its host side, never an address."""
