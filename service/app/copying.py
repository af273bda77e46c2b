"""Copying a store into another one, each by its path or address."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from service.app.stores import connecting_of
from service.errors import DeclarationError
from service.settings import StoreSettings, load_settings
from service.storage.copying import Copied, Table, copy

if TYPE_CHECKING:
    from service.storage.redis.copying import RedisCopy
    from service.storage.sqlite.copying import SqliteCopy

__all__ = ["copy_store", "settings_of"]


def settings_of(place: str, environment: Mapping[str, str]) -> StoreSettings:
    """Settings of a store by its path or address; the environment says what an address does not.

    Raises
    ------
    SettingsError
        It is no address.
    """
    rest = {
        name: value
        for name, value in environment.items()
        if name not in {"DRIFTLINE_STORE_PATH", "DRIFTLINE_STORE_URL"}
    }
    named = {"DRIFTLINE_STORE_URL" if "://" in place else "DRIFTLINE_STORE_PATH": place}
    return load_settings(None, rest | named).store


async def copy_store(
    source: str,
    target: str,
    environment: Mapping[str, str],
    watch: Callable[[int], Callable[[str, int], None]],
    *,
    replace: bool,
) -> Mapping[Table, int]:
    """Copy all of a store and compare; rows by table.

    Parameters
    ----------
    source, target : str
        A path or an address each.
    environment : mapping of str to str
        With passwords and the like.
    watch : callable
        Given the number of models, what is told of how many are done.
    replace : bool
        Whether what is in the target is dropped.

    Raises
    ------
    StoreUnavailableError
    DeclarationError
    """
    places = [settings_of(place, environment) for place in (source, target)]
    if any(place.is_upstream for place in places):
        raise DeclarationError("a central Driftline has a store of its own: wanted that one's path or address")
    if places[0].place == places[1].place:
        raise DeclarationError("wanted two stores: these are the same")
    read = await _of(places[0], environment)
    try:
        written = await _to(places[1], environment, replace=replace)
        try:
            done = watch(len(await _names(read)))
            copied = await copy(read, written, done)
            await written.finish()
        finally:
            await written.close()
    finally:
        await read.close()
    return copied


async def _names(store: Copied) -> list[str]:
    return list(await store.names())


async def _of(place: StoreSettings, environment: Mapping[str, str]) -> "RedisCopy | SqliteCopy":
    if place.url is None:
        from service.storage.sqlite.copying import SqliteCopy  # noqa: PLC0415 - needed by one command

        return await SqliteCopy.of(place.database)
    from service.storage.redis.copying import RedisCopy  # noqa: PLC0415 - a tenth of a second that most need not spend

    return await RedisCopy.of(place.url, connecting_of(place, environment))


async def _to(place: StoreSettings, environment: Mapping[str, str], *, replace: bool) -> "RedisCopy | SqliteCopy":
    if place.url is None:
        from service.storage.sqlite.copying import SqliteCopy  # noqa: PLC0415 - needed by one command

        return await SqliteCopy.to(place.database, replace=replace)
    from service.storage.redis.copying import RedisCopy  # noqa: PLC0415 - a tenth of a second that most need not spend

    return await RedisCopy.to(place.url, connecting_of(place, environment), replace=replace)
