"""Where webhooks may go: public addresses, and private networks that the operator names.

The name is resolved once, every address it has is checked, and the connection goes to the address
that was checked; so a name that is made to point elsewhere a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class EgressRefused(httpcore.ConnectError):
    """An address that must not be called; the message says which and what to set."""


class Egress:
    """Decides which addresses may be called.

    Parameters
    ----------
    networks : iterable of str
        Private networks that may be.

    Raises
    ------
    ValueError
        If one is no network.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self.networks = [ipaddress.ip_network(network) for network in networks]

    def allows(self, address: Address) -> bool:
        """Return whether an address may be called.

        >>> egress = Egress(["10.1.0.0/16"])
        >>> [egress.allows(ipaddress.ip_address(a)) for a in ("10.1.2.3", "10.2.0.1", "::ffff:127.0.0.1")]
        [True, False, False]
        """
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        if any(address.version == n.version and address in n for n in self.networks):
            return True
        return address.is_global and not address.is_multicast

    def resolve(self, host: str, port: int) -> str:
        """Return an address of a host that may be called.

        Raises
        ------
        EgressRefused
            If any of its addresses may not be.
        httpcore.ConnectError
            If it has none.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self.allows(ipaddress.ip_address(address.partition("%")[0])):
                raise EgressRefused(
                    f"{host} is {address}, which is not public; name its network in relay.networks "
                    "if webhooks may go there"
                )
        return addresses[0]


class _Backend(httpcore.SyncBackend):
    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None,
        local_address: str | None = None, socket_options: Any = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        address = self._egress.resolve(host, port)
        return super().connect_tcp(address, port, timeout, local_address, socket_options)

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        raise EgressRefused("sockets of this machine are not called")


class _Transport(httpx.HTTPTransport):
    def __init__(self, egress: Egress) -> None:
        super().__init__(trust_env=False)
        context = httpx.create_ssl_context(trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=20, keepalive_expiry=5.0,
            network_backend=_Backend(egress),
        )  # fmt: skip


def client(networks: Sequence[str], timeout_s: float) -> httpx.Client:
    """Return a client that calls only what may be called; it follows no redirect."""
    return httpx.Client(
        transport=_Transport(Egress(networks)), timeout=timeout_s, follow_redirects=False,
        trust_env=False,
    )  # fmt: skip
