"""What is the slope of a line through the origin? A tiny problem, to test the seam by."""
