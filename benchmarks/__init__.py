"""Each figure that the README quotes, with its peer, in one run."""
