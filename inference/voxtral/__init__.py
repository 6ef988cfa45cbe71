"""Voxtral: it hears, and may answer what it heard."""
