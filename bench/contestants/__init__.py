"""Contestants, all with the same job: decode JSON, keep windowed sums and counts a customer, write them to Redis."""
