"""References: the data files they are built from, and where those came from."""
