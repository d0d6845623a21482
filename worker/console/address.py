"""Where a request comes from, through proxies that are believed."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pydantic import IPvAnyNetwork
from starlette.requests import Request

_IPV6_OF_ONE = 64
"""Bits: whoever has one such address has all that begin like it."""


def address_of(request: Request, proxies: Collection[IPvAnyNetwork]) -> str:
    """The nearest address that is no proxy's, as far as proxies say it; of IPv6 its network."""
    told = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    peer = request.client.host if request.client else ""
    found = _parsed(peer)
    for one in reversed(told):
        if found is None or not any(found in network for network in proxies):
            break
        said = _parsed(one)
        if said is None:
            break
        found = said
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _IPV6_OF_ONE), strict=False))
    return str(found or peer)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None
