"""Calibration: how much windows differ when nothing is wrong, and what evidence is worth a false alarm."""
