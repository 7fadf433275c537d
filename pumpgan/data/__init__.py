"""From disk to a batch: the dataset folder, what makes one, and what training reads of it. Knows no model."""
