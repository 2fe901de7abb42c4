"""The `entrepot` command: one file for each group of commands."""
