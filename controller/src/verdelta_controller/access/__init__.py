"""Who may do what: tokens, page sessions, and the fixed table of permissions."""
