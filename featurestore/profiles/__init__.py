"""Customers: who they are to the shop, and the subject that stands for them everywhere else."""
