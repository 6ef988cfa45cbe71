"""Words to speech."""
