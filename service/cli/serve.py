"""`driftline serve`."""

import gc
import os
from pathlib import Path

import click

from service.cli.leaving_out import leaving_out

__all__ = ["serve"]


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="driftline.yaml.")
@click.option("--host", metavar="H", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="P", help="Port to listen on.  [default: 8080]")
@click.option(
    "--store",
    metavar="PATH|URL",
    help="The database, the redis:// URL of a store, or the http(s):// URL of a centre.  [default: driftline.db]",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def serve(*, config: Path | None, host: str | None, port: int | None, store: str | None, log_level: str) -> None:
    """Run the service: rows in over HTTP, verdicts, metrics and webhooks out."""
    # Numerical threads wake up for nothing on vectors of this size.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A start makes no garbage to speak of, and looking for it costs a good part of its time; `Service.start` ends this.
    gc.disable()
    with leaving_out():
        import uvloop  # noqa: PLC0415 - not needed for --help

        from service.app import serve as run  # noqa: PLC0415
        from service.app.logs import configure_logs  # noqa: PLC0415
        from service.app.names import Loop  # noqa: PLC0415
        from service.settings import load_settings  # noqa: PLC0415

    environment = dict(os.environ)
    is_url = store is not None and "://" in store
    for name, value in (("HOST", host), ("PORT", port), ("STORE_URL" if is_url else "STORE_PATH", store)):
        if value is not None:
            environment[f"DRIFTLINE_{name}"] = str(value)
    settings = load_settings(config, environment)
    if store is not None and not is_url:
        settings = settings.model_copy(update={"store": settings.store.model_copy(update={"url": None})})
    configure_logs(log_level)
    uvloop.run(run(settings), loop_factory=Loop)
