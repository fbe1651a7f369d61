"""What the agents saw: messages taken in, snapshots, deltas, and each host's last known state (the CMS)."""
