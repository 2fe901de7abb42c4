"""The parts of `entrepot.content` that need no server."""
