"""The parts of `entrepot.oci` that need no server."""
