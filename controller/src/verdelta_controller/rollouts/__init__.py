"""Roll-outs: the waves, the installers, the verdict on every host, the way back."""
