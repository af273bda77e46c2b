"""Where counts and decisions are kept: the codec of their payloads, and one package or module for each kind of store."""
