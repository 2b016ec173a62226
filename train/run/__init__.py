"""A run on disk: its folder, its state, its progress bar, and how it is interrupted."""
