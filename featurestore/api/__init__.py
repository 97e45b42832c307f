"""The API: thin routers, one noun a file, before a framework-free handler for the feature read."""
