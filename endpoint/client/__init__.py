"""The typed Python client of the native interface."""

from endpoint.client.client import EndpointClient
from endpoint.client.errors import ClientError, EndpointUnreachable, RequestRefused

__all__ = ["ClientError", "EndpointClient", "EndpointUnreachable", "RequestRefused"]
