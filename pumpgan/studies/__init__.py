"""Whole experiments: stages that make datasets, runs and evaluations of one another, each run once; their tables."""
