"""Modules that pytest must not import."""

collect_ignore = ["chat.py"]  # importing Locust patches the importing process
