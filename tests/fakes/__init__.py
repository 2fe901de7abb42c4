"""Typed peers in memory, where the real ones are tested elsewhere."""
