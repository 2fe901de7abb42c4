"""Entrepot and other registries on the same machine, in one run."""
