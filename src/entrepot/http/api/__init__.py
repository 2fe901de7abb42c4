"""The management API, `/api/v1`, described by OpenAPI 3.1: one file for each resource."""
