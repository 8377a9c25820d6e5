"""Files that are written whole, tables that somebody else wrote, sources and where all lies."""
