"""Recogniser, responder, synthesizer."""
