"""The system as it is configured: one file a section."""
