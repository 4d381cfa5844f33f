"""Who may ask this server: names that it answers to, origins whose pages may play, and the key of the link.

Same origin means scheme, host and port, each with its default. Behind a proxy or a tunnel the browser's origin is not
this server's address: `--allow-origin` names it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PORTS = {"http": 80, "https": 443}
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-cache"}
_KEYED = ("/", "/play")  # a recording has an address that cannot be guessed, and the page's files are no secret


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who is let in.

    Raises:
        ValueError: an origin that is none.
    """

    hosts: tuple[str, ...] | None = LOOPBACK
    """Names under which the page may be asked for; None = any. On the loopback this keeps out sites whose name was made
    to point here (DNS rebinding)."""
    origins: tuple[str, ...] = ()
    """Origins beside the server's own whose pages may play, such as "https://games.example.org"."""
    key: str | None = None
    """What the link must hold as `?key=`; None = nothing."""

    def __post_init__(self):
        for origin in self.origins:
            if _origin(origin) is None:
                raise ValueError(
                    f"expected an origin such as https://games.example.org for --allow-origin, got {origin!r}."
                )

    def refusal(self, scope: Scope) -> str | None:
        """Return why a request is refused; None where it may pass."""
        headers = Headers(scope=scope)
        own = _origin(f"{'https' if scope['scheme'] in ('https', 'wss') else 'http'}://{headers.get('host', '')}")
        allowed = [_origin(origin) for origin in self.origins]
        names = self.hosts and (*self.hosts, *(origin[1] for origin in allowed if origin))
        if own is None or (names is not None and own[1] not in names):
            return "foreign host"
        sent = headers.getlist("origin")
        if scope["type"] == "websocket" and (len(sent) != 1 or _origin(sent[0]) not in (own, *allowed)):
            return "foreign origin; --allow-origin names those that may play"
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        if self.key is not None and scope["path"] in _KEYED and not _is_same(given, self.key):
            return "this game is entered by the link that the server printed, with its key"
        return None


def _is_same(given: str, key: str) -> bool:
    return secrets.compare_digest(given.encode(), key.encode())


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin; None for what is none."""
    try:
        url = urlsplit(text)
        port = url.port or _PORTS[url.scheme]
    except (ValueError, KeyError):
        return None
    is_bare = text.count("/") == 2 and not (url.query or url.fragment or "@" in url.netloc)
    return (url.scheme, url.hostname, port) if url.hostname and is_bare else None


class Guard:
    """Refuses with 403 what `access` lets not in; adds the headers that browsers obey."""

    def __init__(self, app: ASGIApp, access: Access):
        self.app, self.access = app, access
        policy = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors"
        self._headers = _HEADERS | {"content-security-policy": f"{policy} {' '.join(access.origins) or repr('none')}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = self.access.refusal(scope)
        if refusal is not None and scope["type"] == "websocket":
            return await WebSocket(scope, receive, send).close(1008, refusal)  # before accept: a 403
        if refusal is not None:
            return await PlainTextResponse(refusal, 403)(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)
