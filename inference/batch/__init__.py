"""What lets many calls share a model."""
