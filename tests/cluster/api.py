"""The few requests that the test cluster itself makes to its API server, on the standard library alone."""

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pki import Identity


@dataclass(frozen=True)
class Api:
    """An API server and the identity to speak to it with."""

    host: str
    authority: Path
    identity: Identity
    port: int = 6443

    def get(self, path: str) -> tuple[int, Any]:
        """The status and the body of an object; status 0 while nobody answers."""
        return self._request("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Create an object."""
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.identity.certificate, self.identity.key)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=5, context=context)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(text) if is_json else text
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()


def is_healthy(host: str, port: int, path: str) -> bool:
    """Whether a plain health endpoint says yes."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
