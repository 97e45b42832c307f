"""Measurements, side by side with peers in one run. Each writes ``bench/results/NAME.json``."""
