"""Does a review praise or condemn? What the pipeline does for this problem alone."""
