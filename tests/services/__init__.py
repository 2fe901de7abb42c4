"""Other services that the registry works with, real ones where there are any."""
