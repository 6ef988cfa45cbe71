"""Callers from outside, that measure a server by what reaches the caller's ear."""
