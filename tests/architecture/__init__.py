"""What holds for the whole program: its tables, its routes, its documents."""
