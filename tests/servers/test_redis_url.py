"""The URL of a Redis: every form, and what is refused with the form to use."""

import pytest

from featurestore.servers.celery_broker import celery_broker
from featurestore.servers.errors import ServerNameError
from featurestore.servers.redis_url import RedisUrl, parse_redis_url
from featurestore.servers.tls import Tls

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://", RedisUrl("server", (("127.0.0.1", 6379),))),
        ("redis://store:6380/2", RedisUrl("server", (("store", 6380),), database=2)),
        ("redis://store?db=2", RedisUrl("server", (("store", 6379),), database=2)),
        ("redis://[::1]:6380", RedisUrl("server", (("::1", 6380),))),
        ("redis://:p%2F%40@store", RedisUrl("server", (("store", 6379),), password="p/@")),
        ("rediss://store", RedisUrl("server", (("store", 6379),), tls=Tls())),
        (
            "rediss://app:pw@store/1?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            RedisUrl("server", (("store", 6379),), "", Tls("/ca.pem", "/c.pem", "/k.pem"), "app", "pw", 1),
        ),
        ("unix:///run/redis.sock", RedisUrl("socket", path="/run/redis.sock")),
        ("unix://app:pw@/run/r.sock?db=3", RedisUrl("socket", (), "/run/r.sock", None, "app", "pw", 3)),
        (
            "redis+sentinel://a,b:26380/rapport/2?sentinel_username=u&sentinel_password=p%2F",
            RedisUrl("sentinel", (("a", 26379), ("b", 26380)), "", None, "", "", 2, "rapport", "u", "p/"),
        ),
        ("rediss+cluster://a,b:7000/", RedisUrl("cluster", (("a", 6379), ("b", 7000)), tls=Tls())),
    ],
)
def test_every_form_is_understood(url: str, parsed: RedisUrl) -> None:
    assert parse_redis_url(url) == parsed


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("store:6379", "begins with store://. Use redis"),
        ("/run/redis.sock", "begins with no scheme"),
        ("http://store", "begins with http"),
        ("sentinel://store", "begins with sentinel"),
        ("redis+socket:///run/redis.sock", "begins with redis+socket"),
        (f"redis://:{SECRET}/x@store/0", "an address that is no host:port"),
        (f"redis://:{SECRET}#x@store/0", "is ambiguous"),
        (f"redis://:{SECRET}?x@store/0", "is ambiguous"),
        ("redis://store/cache", "a database that is no number"),
        ("redis://store/0/1", "a path that is no number"),
        ("redis://a,b/0", "names several servers"),
        ("redis://store?ssl_ca_certs=/ca.pem", "the option ssl_ca_certs. It may have db"),
        ("rediss://store?ssl_cert_reqs=none", "certificates are always verified"),
        ("rediss://store?ssl_keyfile=/k.pem", "ssl_keyfile without ssl_certfile"),
        ("redis://store?socket_timeout=9", "the option socket_timeout"),
        ("unix://store/run/redis.sock", "names no socket"),
        ("redis+sentinel://a,b", "does not name the primary"),
        ("redis+cluster://a,b/1", "a cluster has only database 0"),
    ],
)
def test_other_forms_are_refused_with_the_form_to_use(url: str, message: str) -> None:
    with pytest.raises(ServerNameError) as refused:
        parse_redis_url(url)
    assert message in str(refused.value)
    assert SECRET not in str(refused.value)


def test_sentinels_and_servers_have_passwords_of_their_own() -> None:
    url = parse_redis_url("rediss+sentinel://app:pw@a,b/rapport/2?sentinel_password=other&ssl_ca_certs=/ca.pem")
    server, sentinel = url.server_at(("c", 6379)), url.sentinel_at(("a", 26379))
    assert server == RedisUrl("server", (("c", 6379),), "", Tls("/ca.pem"), "app", "pw", 2, "", "", "other")
    assert sentinel == RedisUrl("server", (("a", 26379),), "", Tls("/ca.pem"), "", "other")


def test_no_text_of_a_url_shows_its_passwords() -> None:
    url = parse_redis_url(f"rediss+sentinel://app:{SECRET}@a/rapport?sentinel_password={SECRET}")
    assert SECRET not in f"{url} {url!r}"
    assert SECRET not in repr(Tls("/ca.pem", key_password=SECRET))


def test_celery_has_its_own_schemes() -> None:
    assert celery_broker("redis://h/1") == ("redis://h:6379/1", {}, None)
    assert celery_broker("redis://[::1]/1").url == "redis://[::1]:6379/1"
    assert celery_broker("unix://a:p%2F@/run/r.sock?db=3").url == "redis+socket://a:p%2F@/run/r.sock?virtual_host=3"
    secured = celery_broker("rediss://a:p@h/0?ssl_ca_certs=/ca.pem")
    assert secured.url == "rediss://a:p@h:6379/0"
    assert secured.use_ssl == {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": "/ca.pem"}
    named = celery_broker("redis+sentinel://a,b/rapport/2?sentinel_password=p")
    assert named.url == "sentinel://a:26379/2;sentinel://b:26379/2"
    assert named.transport_options["master_name"] == "rapport"
    assert named.transport_options["sentinel_kwargs"]["password"] == "p"
