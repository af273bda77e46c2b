"""The running service, put together: the only place that names adapters."""

from service.app.server import serve
from service.app.service import Service

__all__ = ["Service", "serve"]
