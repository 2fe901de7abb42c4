"""What clients must never send, sent to a real server: it names what is wrong, keeps nothing, and goes on."""
