"""Real clients against a running registry: what they push comes back byte for byte."""
