"""Event time: how it is read, and the windows it falls in. Pure: no I/O, and nobody here asks the clock."""
