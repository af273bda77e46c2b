"""What is live: models, their versions and references, read from the store once and kept."""
