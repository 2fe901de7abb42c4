"""The parts of `entrepot.access` that need no server."""
