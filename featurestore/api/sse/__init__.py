"""Event streams (server-sent events): a customer's features during a conversation, each change told unasked."""
