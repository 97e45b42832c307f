"""Load tests: chat traffic on a whole installation, up to its knee, or for half an hour."""
