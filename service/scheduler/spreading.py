"""Which of the replicas that are there should have a name: rendezvous hashing (Thaler and Ravishankar, 1998).

Each replica has a weight for each name, a hash of the two, and the one with the largest has the name. All replicas come to the
same answer without asking one another, work is even to within chance, and when a replica comes or goes only the names move that
it gets or had. Where two disagree for a moment about who is there, leases decide; this only says who should try.
"""

from collections.abc import Sequence
from hashlib import blake2b

__all__ = ["keeper_of"]


def keeper_of(name: str, members: Sequence[str]) -> str:
    """Who of the members has a name; there must be at least one."""
    return max(members, key=lambda member: (_weight(member, name), member))


def _weight(member: str, name: str) -> bytes:
    # Not CRC: it is linear, so that with it the order of members for one name tells that for others.
    return blake2b(f"{member}\0{name}".encode(), digest_size=8).digest()
