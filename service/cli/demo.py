"""`driftline demo`: the main job on the shipped data, with the real service."""

import click

__all__ = ["demo"]


@click.command()
@click.option("--keep", is_flag=True, help="Leave the service running until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), metavar="P", help="Port of the service.  [default: any free one]"
)
def demo(*, keep: bool, port: int | None) -> None:
    """Run the main job on shipped data: a year of real bike rentals as reference, the next year replayed over HTTP.

    Starts the real service on this machine and ends it again; takes half a minute, and leaves nothing behind.
    """
    from service.cli.story import tell_story  # noqa: PLC0415 - not needed for --help

    tell_story(keep=keep, port=port)
