"""Nothing that was acknowledged is lost, and nothing that was not leaves damage: crashes, full disks, races, ends."""
