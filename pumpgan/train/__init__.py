"""Training: configuration, phases, the loop over them, and everything that makes a run survive a crash."""
