"""What every feature stands on: database, clock, identifiers, signing, the evidence log, events, errors, settings."""
