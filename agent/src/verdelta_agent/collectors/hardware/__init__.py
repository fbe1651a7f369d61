"""Hardware: one file a section."""
