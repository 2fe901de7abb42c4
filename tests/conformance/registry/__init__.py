"""The official conformance suite of the OCI distribution specification, run against Entrepot."""
