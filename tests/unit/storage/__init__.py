"""The parts of `entrepot.storage` that need no server."""
