"""Software: one file a section."""
