"""What a run came to, as a page and as pictures."""
