"""What any long work needs: progress, an end with its parent, imports that cost little."""
