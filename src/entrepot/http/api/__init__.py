"""The management API, `/api/v1`, with an OpenAPI 3.1 description. One file for each resource."""
