"""`python -m service` and the command `driftline`."""

from service.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
