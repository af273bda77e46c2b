"""Addresses of a Redis: what they mean, and what is said of those that mean nothing."""

import pytest

from service.domain.redis_address import RedisAddress, redis_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://cache", {"kind": "server", "hosts": (("cache", 6379),)}),
        ("redis://cache:6380/", {"kind": "server", "hosts": (("cache", 6380),)}),
        ("redis://drift@cache/2", {"kind": "server", "hosts": (("cache", 6379),), "user": "drift", "database": 2}),
        ("redis://a%40b@[::1]:7000/0", {"kind": "server", "hosts": (("::1", 7000),), "user": "a@b"}),
        ("rediss://cache.example:6380/0", {"kind": "server", "hosts": (("cache.example", 6380),), "tls": True}),
        ("unix:///run/redis.sock", {"kind": "socket", "path": "/run/redis.sock"}),
        (
            "unix://drift@/run/redis.sock?db=3",
            {"kind": "socket", "path": "/run/redis.sock", "user": "drift", "database": 3},
        ),
        (
            "redis+sentinel://drift@s1:26380,s2,[::1]:9/primary/1",
            {
                "kind": "sentinel",
                "hosts": (("s1", 26380), ("s2", 26379), ("::1", 9)),
                "service": "primary",
                "user": "drift",
                "database": 1,
            },
        ),
        (
            "rediss+sentinel://s1/primary",
            {"kind": "sentinel", "hosts": (("s1", 26379),), "service": "primary", "tls": True},
        ),
        ("redis+cluster://c1:7001,c2", {"kind": "cluster", "hosts": (("c1", 7001), ("c2", 6379))}),
        ("rediss+cluster://c1/0", {"kind": "cluster", "hosts": (("c1", 6379),), "tls": True}),
    ],
)
def test_an_address_is_taken_apart(text, expected):
    assert redis_address(text) == RedisAddress(**expected)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "begins with redis://, rediss://, unix://"),
        ("cache:6379", "begins with"),
        ("http://cache", "begins with"),
        ("redis+unix:///x", "begins with"),
        ("redis://", "hosts and ports"),
        ("redis://cache:99999", "hosts and ports"),
        ("redis://cache:0", "hosts and ports"),
        ("redis://cache:six", "hosts and ports"),
        ("redis://a b", "hosts and ports"),
        ("redis://[::1", "hosts and ports"),
        ("redis+cluster://c1,,c2", "hosts and ports"),
        ("redis://c1,c2", "several have redis\\+sentinel"),
        ("redis://drift:planted@cache", "no password"),
        ("redis://:planted@cache", "no password"),
        ("redis+sentinel://u:planted@s1/primary", "no password"),
        ("unix://:planted@/run/x.sock", "no password"),
        ("redis://cache/names", "number of a database"),
        ("redis://cache/\u00b2", "number of a database"),
        ("redis://cache/1/2", "number of a database"),
        ("redis://cache/-1", "number of a database"),
        ("redis://cache/0?password=planted", "settings beside the address"),
        ("redis://cache/0#planted", "behind #"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix:///", "three slashes"),
        ("unix:///run/x.sock?password=planted", "db=NUMBER"),
        ("unix:///run/x.sock?db=1&db=2", "number of a database"),
        ("redis+sentinel://s1", "by which the Sentinels know"),
        ("redis+sentinel://s1/primary/0/1", "by which the Sentinels know"),
        ("redis+cluster://c1/1", "database 0 and no other"),
    ],
)
def test_what_is_no_address_is_refused_with_what_was_wanted_and_without_what_was_there(text, wanted):
    with pytest.raises(ValueError, match=wanted) as caught:
        redis_address(text)

    assert "planted" not in str(caught.value)
