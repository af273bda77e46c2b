"""Rows in: bytes to columns, columns to counts, counts to the store."""
