"""Losses: pure functions from tensors to scalars. Nothing is kept; what a run remembers lives in train."""
