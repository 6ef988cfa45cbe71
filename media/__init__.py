"""What sound is, and who has the turn: pure code, no I/O, no clock, no threads."""
