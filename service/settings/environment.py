"""Settings from the environment: every scalar of `server`, `store`, `auth` and `limits` has a variable.

`DRIFTLINE_` and the path of the setting: `DRIFTLINE_STORE_PATH`, `DRIFTLINE_LIMITS_BODY_BYTES_MAX`; those of `server` have no
`SERVER_` in front: `DRIFTLINE_HOST`, `DRIFTLINE_PORT`. The environment wins over the file. An empty variable is not set: that
is what Compose files make of one that nobody has given. An unknown one is a fault, since a slip in a name would otherwise be
found out in production.

Kubernetes adds variables of its own to every pod beside a Service called driftline: `DRIFTLINE_SERVICE_HOST`,
`DRIFTLINE_PORT=tcp://10.0.0.1:8080`, `DRIFTLINE_PORT_8080_TCP_ADDR`. They are known by their form and left alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel

from service.settings.documents import LimitSettings, ServerSettings, StoreSettings
from service.settings.faults import Fault

__all__ = ["OTHER_VARIABLES", "VARIABLES", "overlaid", "secret_variables"]

_PREFIX: Final = "DRIFTLINE_"
_SECTIONS: Final[tuple[tuple[str, type[BaseModel], str], ...]] = (
    ("server", ServerSettings, ""),
    ("store", StoreSettings, "STORE_"),
    ("limits", LimitSettings, "LIMITS_"),
)

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    f"{_PREFIX}{within}{name.upper()}": (section, name)
    for section, document, within in _SECTIONS
    for name in document.model_fields
} | {f"{_PREFIX}AUTH": ("auth",)}
"""Path of the setting by the name of its variable. `DRIFTLINE_AUTH` can only be `none`."""

OTHER_VARIABLES: Final = (
    "DRIFTLINE_CONFIG",
    "DRIFTLINE_KEY",
    "DRIFTLINE_STORE_KEY",
    "DRIFTLINE_STORE_PASSWORD",
    "DRIFTLINE_STORE_SENTINEL_PASSWORD",
)
"""What commands read themselves: the path of the file, the keys of clients and of a sidecar, the passwords of a Redis and of its
Sentinels."""

_KUBERNETES: Final = (
    re.compile(r"DRIFTLINE(_\w+)?_SERVICE_(HOST|PORT)(_\w+)?="),
    re.compile(r"DRIFTLINE(_\w+)?_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?="),
    re.compile(r"DRIFTLINE(_\w+)?_PORT=(tcp|udp|sctp)://"),
)


def overlaid(
    data: dict[str, Any], environment: Mapping[str, str], allowed: Collection[str]
) -> tuple[dict[str, Any], dict[tuple[str, ...], str], list[Fault]]:
    """Lay the environment over the data of a file.

    Parameters
    ----------
    data : dict
    environment : mapping of str to str
    allowed : collection of str
        Variables that are not settings: the secrets that targets name.

    Returns
    -------
    dict
        The data with what the environment says in its place; what was given is untouched.
    dict
        Variable by the path of the setting that it gave.
    list of Fault
        Variables that nobody knows.
    """
    data, origins, faults = dict(data), {}, []
    for variable, value in sorted(environment.items()):
        if not variable.startswith(_PREFIX) or not value or _of_kubernetes(variable, value):
            continue
        place = VARIABLES.get(variable)
        if place is not None:
            origins[place] = variable
            _put(data, place, value)
        elif variable not in OTHER_VARIABLES and variable not in allowed:
            faults.append(Fault(variable=variable, text="unknown variable" + _nearest(variable)))
    return data, origins, faults


def secret_variables(targets: Any) -> Iterator[str]:
    """Variables that hold secrets of targets: each `{env: NAME}`, however faulty the rest is."""
    if isinstance(targets, dict):
        if isinstance(targets.get("env"), str):
            yield targets["env"]
        for inner in targets.values():
            yield from secret_variables(inner)
    elif isinstance(targets, list):
        for inner in targets:
            yield from secret_variables(inner)


def _put(data: dict[str, Any], place: tuple[str, ...], value: str) -> None:
    if len(place) == 1:
        data[place[0]] = value
        return
    section = data.get(place[0], {})
    if isinstance(section, dict):  # else it is a fault by itself
        data[place[0]] = {**section, place[1]: value}


def _of_kubernetes(variable: str, value: str) -> bool:
    return any(form.match(f"{variable}={value}") for form in _KUBERNETES)


def _nearest(variable: str) -> str:
    names = [name.removeprefix(_PREFIX) for name in VARIABLES]
    nearest = get_close_matches(variable.removeprefix(_PREFIX), names, n=1)
    return f"; did you mean {_PREFIX}{nearest[0]}?" if nearest else ""
