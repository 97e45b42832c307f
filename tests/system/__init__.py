"""Scenarios with the real processes: API, workers, verifier and their servers, started as a user starts them."""
