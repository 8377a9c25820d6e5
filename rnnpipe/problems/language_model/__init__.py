"""What word comes next? What the pipeline does for this problem alone."""
