"""A server for tests takes calls however busy the machine is that it shares with its callers."""

from server.load import AdmissionSettings

ANY_LOAD = AdmissionSettings(max_lag=60.0, max_cpu=60.0)
"""Limits that nothing reaches."""

ANY_LOAD_OPTIONS = ("--set", "admission.max_lag=60", "--set", "admission.max_cpu=60")
"""The same for `run.py serve`."""
