"""HTTP: the raw route that takes rows, and the control plane."""
