"""The access log: which client read which customer, for what purpose, when."""
