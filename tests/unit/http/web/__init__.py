"""The parts of `entrepot.http` that need no server."""
