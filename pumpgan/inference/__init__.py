"""What a trained run is used for: to generate datasets, to be compared with real ones."""
