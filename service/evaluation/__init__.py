"""Counts to verdicts."""
