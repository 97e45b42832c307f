"""Customers of the shop as data: models and selectors. Registration is featurestore.profiles."""
