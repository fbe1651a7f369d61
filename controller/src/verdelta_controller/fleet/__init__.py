"""The hosts: who they are, how they were enrolled, how they are reached."""
