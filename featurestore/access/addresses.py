"""Address of whoever sends a request, for limits. Behind proxies it is the one that the outermost of them saw."""

import ipaddress
from collections.abc import Mapping
from typing import Any

IPV6_PREFIX = 64
"""Bits of an IPv6 address that count: one customer of a network has all addresses below them."""


def address_of(meta: Mapping[str, Any], proxies: int) -> str:
    """The address, of IPv6 the network, in a request's environment behind so many proxies.

    What a client forges before the address that the outermost proxy added counts for nothing.

    >>> address_of({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "9.9.9.9, 192.0.2.7"}, 1)
    '192.0.2.7'
    >>> address_of({"REMOTE_ADDR": "2001:db8::17"}, 0)
    '2001:db8::/64'
    """
    forwarded = [one.strip() for one in str(meta.get("HTTP_X_FORWARDED_FOR", "")).split(",") if one.strip()]
    found = forwarded[-proxies] if 0 < proxies <= len(forwarded) else str(meta.get("REMOTE_ADDR", ""))
    try:
        parsed = ipaddress.ip_address(found)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
