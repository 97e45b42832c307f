"""Every client of a server is told of it by featurestore.servers, so that none forgets how it is secured."""

import re

from featurestore.config import ROOT

DIRECTLY = re.compile(r"\"bootstrap[._]servers\"|\.from_url\(|\bdj_database_url\b|[^.\w]Redis\(|\bStrictRedis\b")
MODULES = [
    path
    for package in ("featurestore", "streams", "adminsite")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.parent != ROOT / "featurestore" / "servers" and path != ROOT / "adminsite" / "demo" / "servers.py"
]


def test_no_client_is_made_from_an_address_alone() -> None:
    found = {str(module.relative_to(ROOT)): DIRECTLY.findall(module.read_text(encoding="utf-8")) for module in MODULES}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_a_client_made_from_an_address_is_found() -> None:
    for code in ('Producer({"bootstrap.servers": x})', "Redis.from_url(x)", "redis = Redis(host=x)"):
        assert DIRECTLY.search(code), code
