"""A private container registry."""
