"""The calibrated alarm of a reference: what it depends on, how far it is trusted, and what it would have raised."""
