"""Delivery of messages to customers: ``outgoing.py``, ``email.py``, ``webhook.py``; ``port.py`` chooses the way."""
