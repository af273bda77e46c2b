"""Which addresses may be called. Pure.

A webhook makes the service call wherever a name points to, and whoever owns the name can point it at what only the service can
reach. Metadata services of clouds hand out credentials to any local caller: they are never called. Private networks are, if the
target says so. An IPv4 address inside an IPv6 one (mapped, compatible, 6to4, NAT64) is judged as what it leads to.

References
----------
.. [1] RFC 6890, special-purpose address registries; RFC 4291, 2.5.5; RFC 3056; RFC 6052.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

__all__ = ["Refusal", "refusal_of"]

Refusal = Literal["refused_address", "private_address"]

_NEVER: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # "this host"
        "169.254.0.0/16",  # link-local, and the metadata services of AWS, Azure, GCP, OpenStack
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # the wire server of Azure: a public address, reachable from inside only
        "192.0.0.0/24",  # protocol assignments, and metadata of Oracle Cloud
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",
        "fe80::/10",
        "fec0::/10",  # site-local, long withdrawn
        "ff00::/8",
        "fd00:ec2::254/128",  # metadata of AWS
        "fd20:ce::254/128",  # metadata of GCP
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")


def refusal_of(addresses: Iterable[str], *, allow_private: bool) -> Refusal | None:
    """Why a name may not be called; one address that may not is enough.

    Choosing another one instead would let the owner of the name try until the wrong one is chosen.
    """
    refusals = {_refusal(ip_address(address), allow_private=allow_private) for address in addresses}
    return "refused_address" if "refused_address" in refusals else next(iter(refusals - {None}), None)


def _refusal(address: IPv4Address | IPv6Address, *, allow_private: bool) -> Refusal | None:
    inner = _embedded(address)
    if inner is not None:
        return _refusal(inner, allow_private=allow_private)
    if any(address in network for network in _NEVER):
        return "refused_address"
    return None if allow_private or address.is_global else "private_address"


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):  # ::1 is the loopback, :: nothing
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
