"""Driftline, the service and its command line."""
