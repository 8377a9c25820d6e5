"""How long things take, how much they need, and how much a figure varies."""
