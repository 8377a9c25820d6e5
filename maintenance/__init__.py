"""What those who work on the project run, and its users never need."""
