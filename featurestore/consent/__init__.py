"""Consent: purposes, notices, what customers decided, and the permissions that follow from it."""
