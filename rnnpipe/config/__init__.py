"""Parameters: typed, bounded, frozen."""
