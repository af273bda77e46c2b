"""What happens by itself: evaluations, housekeeping, and what `/metrics` says of them."""
