"""Vouching: the proof, renewed twice a second, that a Redis run holds the database's permissions."""
