"""What the settings say of limits and keys, in the words of the parts that keep to them."""

from service.api.context import ControlLimits
from service.api.intake import IngestLimits
from service.domain.durations import parse_duration_s
from service.ingest.decode import JsonLimits, ParquetLimits
from service.settings import AuthSettings, KeyRing, LimitSettings, Settings

__all__ = ["control_limits", "ingest_limits", "key_ring"]


def control_limits(limits: LimitSettings) -> ControlLimits:
    """Bounds of the control plane."""
    return ControlLimits(
        models_max=limits.models_max,
        versions_max=limits.versions_max,
        rows_exposed_min=limits.rows_exposed_min,
        keys_kept_s=parse_duration_s(limits.idempotency_retention),
        read_timeout_s=parse_duration_s(limits.silence_timeout),
        body_timeout_s=parse_duration_s(limits.request_timeout),
    )


def ingest_limits(limits: LimitSettings) -> IngestLimits:
    """Bounds of a request to log rows."""
    return IngestLimits(
        body_bytes_max=int(limits.body_bytes_max),
        inflated_bytes_max=int(limits.inflated_bytes_max),
        json=JsonLimits(bytes_max=int(limits.json_bytes_max), rows_max=limits.json_rows_max),
        parquet=ParquetLimits(rows_max=limits.parquet_rows_max),
        read_timeout_s=parse_duration_s(limits.silence_timeout),
        body_timeout_s=parse_duration_s(limits.request_timeout),
    )


def key_ring(settings: Settings) -> KeyRing:
    """The keys that are known."""
    if isinstance(settings.auth, AuthSettings):
        return KeyRing(settings.auth.keys, anonymous=not settings.auth.keys)
    return KeyRing((), anonymous=True)
