"""The command line."""

from service.cli.main import cli

__all__ = ["cli"]
