"""The parts of `entrepot.cli` that need no server."""
