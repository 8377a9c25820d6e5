"""Models judged, kept, compared, versioned and published."""
