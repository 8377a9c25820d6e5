"""How does a series go on? What the pipeline does for this problem alone."""
