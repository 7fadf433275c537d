"""`python -m pumpgan.cli`: the command where it is not on PATH, and what torchrun starts."""

from pumpgan.cli.main import main

main(prog_name="pumpgan")
