"""Managing the registry: one file for each resource. Each change is one transaction with the record of it."""
