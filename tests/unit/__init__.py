"""The parts that need no server, each below the path of its module."""
