"""From decisions to episodes and notices. Pure: no I/O, and nobody here asks the clock."""
