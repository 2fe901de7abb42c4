"""Entrepot's tests; `tests.peers` starts the real programs that they talk to."""
