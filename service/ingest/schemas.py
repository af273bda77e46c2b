"""Row decoders by model version, kept while its columns stay."""

from service.ingest.decode import RowSchema
from service.ingest.fates import time_column_of
from service.registry.models import LiveModel, LiveVersion

__all__ = ["Schemas"]


class Schemas:
    """Makes the decoder of a version when it is first needed.

    Parameters
    ----------
    columns_max : int
        Columns that a model without a reference learns.
    """

    def __init__(self, columns_max: int) -> None:
        self._columns_max = columns_max
        self._kept: dict[tuple[str, str], tuple[LiveModel, RowSchema]] = {}

    def of(self, model: LiveModel, version: LiveVersion) -> RowSchema:
        """The decoder of a version as it is now."""
        key = model.model, version.version
        kept = self._kept.get(key)
        if kept is None or kept[0] is not model:
            kept = self._kept[key] = model, _schema(model, version, self._columns_max)
        return kept[1]

    def forget(self, model: str) -> None:
        """Forget a model that is gone."""
        for key in [key for key in self._kept if key[0] == model]:
            del self._kept[key]


def _schema(model: LiveModel, version: LiveVersion, columns_max: int) -> RowSchema:
    if version.learning:
        return RowSchema.open(columns_max)
    time_column, _ = time_column_of(model, version)
    times = () if time_column is None else (time_column,)
    return RowSchema(tuple(dict.fromkeys((*version.column_names, *times, *sorted(model.unmonitored)))))
