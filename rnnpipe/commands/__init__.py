"""Commands that belong to no one problem, and the copies of a project that they work in."""
