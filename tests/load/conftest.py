"""What pytest must leave alone here."""

collect_ignore = ["chat.py"]  # to import Locust is to patch the process that does
