"""The parts of `entrepot.identity` that need no server."""
