"""A certified OpenID provider (npm oidc-provider) on 127.0.0.1, with people, clients, and a mint for workloads."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.peers.presence import require_node_packages, require_program
from tests.peers.process import Server, free_port

FOLDER = Path(__file__).parent / "oidc_provider"
ACCOUNTS: Mapping[str, Mapping[str, object]] = {
    "0001": {
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "email": "ada@example.test",
        "groups": ["developers", "Alle Büros"],
    },
    "0002": {"name": "Ben", "preferred_username": "ben", "email": "ben@example.test", "groups": []},
}
"""By the subject, which is also what the form asks for; any password does."""
STEPS_MAX = 20


@dataclass(frozen=True)
class Client:
    """A client of the provider. Without a secret it is a public one."""

    client_id: str
    secret: str = ""


CONFIDENTIAL, POSTING, PUBLIC = (
    Client("entrepot", "s:cret/%2B+ &x"),
    Client("entrepot-post", "secret"),
    Client("entrepot-cli"),
)


class OIDCProvider:
    """The provider. Its clients are one registry's, at `registry`, which may be set until it is started."""

    def __init__(
        self,
        directory: Path,
        registry: str = "",
        *,
        provider: str = "sso",
        clients: Sequence[Client] = (CONFIDENTIAL, PUBLIC),
        **options: object,
    ) -> None:
        self.directory = directory
        self.log_path = directory / "oidc-provider.log"
        self.registry = registry
        self.provider = provider
        self.port = free_port()
        self.clients = clients
        self.options = options
        self.keys = new_keys()
        node = require_program("node", package="nodejs")
        modules = require_node_packages("oidc-provider", FOLDER)
        self.server = Server([node, FOLDER / "server.mjs", modules, self._configuration], log_path=self.log_path)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _configuration(self) -> Path:
        return self.directory / "oidc-provider.json"

    def start(self) -> None:
        configuration = {
            "issuer": self.issuer,
            "port": self.port,
            "clients": [self._client(client) for client in self.clients],
            "accounts": ACCOUNTS,
            "keys": [key.private for key in self.keys],
            **self.options,
        }
        self._configuration.write_text(json.dumps(configuration))
        self.server.start(self._is_ready)

    def stop(self) -> None:
        if self.server.started:
            self.server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def mint(self, claims: Mapping[str, object], kid: str = "rsa", head: Mapping[str, object] | None = None) -> str:
        """A token of the issuer with these claims, signed by itself."""
        answer = httpx.post(
            f"{self.issuer}/tests/mint",
            json={"claims": claims, "kid": kid, "head": head or {}},
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def requests(self, path: str) -> int:
        """How often the provider was asked for a path."""
        answer: dict[str, int] = httpx.get(f"{self.issuer}/tests/requests", trust_env=False).json()
        return answer.get(path, 0)

    def browser(self) -> httpx.Client:
        """A browser that has never been here."""
        return httpx.Client(trust_env=False, timeout=20)

    def sign_in(self, browser: httpx.Client, url: str, subject: str = "0001") -> httpx.Response:
        """Follow a login to its end as somebody would: the answer is the first that leaves the provider."""
        return self._walk(browser, browser.get(url), subject)

    def approve_device(self, browser: httpx.Client, verification_uri_complete: str, subject: str = "0001") -> None:
        """Confirm what a device shows."""
        page = self._walk(browser, browser.get(verification_uri_complete), subject)
        assert "successfully" in page.text.lower() or "success" in page.text.lower(), page.text

    def refuse_device(self, browser: httpx.Client, verification_uri_complete: str) -> None:
        self._walk(browser, browser.get(verification_uri_complete), "0001", press={"abort": "yes"})

    def _walk(
        self, browser: httpx.Client, response: httpx.Response, subject: str, press: Mapping[str, str] | None = None
    ) -> httpx.Response:
        for _ in range(STEPS_MAX):
            if response.is_redirect:
                location = response.headers["location"]
                target = response.url.join(location)
                if not str(target).startswith(self.issuer):
                    return response
                response = browser.get(target)
                continue
            form = re.search(r"<form[^>]*action=\"([^\"]+)\"[^>]*>(.*?)</form>", response.text, re.DOTALL)
            if response.status_code != 200 or form is None:
                return response
            fields = {
                name: unescape(value)
                for name, value in re.findall(r"name=\"([^\"]+)\"[^>]*?value=\"([^\"]*)\"", form[2])
            }
            if "login" in form[2]:
                fields |= {"login": subject, "password": "any"}
            if press and "confirm" in fields:
                return browser.post(response.url.join(unescape(form[1])), data={**fields, **press})
            if "logoutForm" in form[0]:
                fields |= {"logout": "yes"}
            response = browser.post(response.url.join(unescape(form[1])), data=fields)
        raise AssertionError("the provider asks for more and more")

    def _client(self, client: Client) -> dict[str, object]:
        method = "none"
        if client.secret:
            method = "client_secret_post" if client is POSTING else "client_secret_basic"
        callback = f"{self.registry}/auth/{self.provider}"
        secret = {"client_secret": client.secret} if client.secret else {}
        return {
            "client_id": client.client_id,
            **secret,
            "token_endpoint_auth_method": method,
            "redirect_uris": [f"{callback}/callback"],
            "post_logout_redirect_uris": [f"{self.registry}/"],
            "backchannel_logout_uri": f"{callback}/backchannel-logout",
            "backchannel_logout_session_required": True,
            "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
            "response_types": ["code"],
        }

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.issuer}/tests/requests", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class Key:
    """A key of an issuer, both parts as JWK."""

    private: dict[str, Any]

    @property
    def public(self) -> dict[str, Any]:
        return {name: value for name, value in self.private.items() if name not in {"d", "p", "q", "dp", "dq", "qi"}}

    def sign(self, claims: Mapping[str, object], **head: object) -> str:
        """A token of anybody who has the key. A head of None is left out."""
        headers = {name: value for name, value in {"kid": self.private["kid"], **head}.items() if value is not None}
        signing = jwt.PyJWK(self.private, self.private["alg"])
        return jwt.encode(dict(claims), signing.key, self.private["alg"], headers=headers)


def new_keys(suffix: str = "") -> list[Key]:
    """One for each kind of algorithm, named for its kind."""
    made = [
        ("rsa", "RS256", RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)),
        ("ec", "ES256", ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)),
        ("ed", "EdDSA", OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate(), as_dict=True)),
    ]
    named = [{**jwk, "kid": kid + suffix, "alg": algorithm, "use": "sig"} for kid, algorithm, jwk in made]
    return [Key({name: value for name, value in jwk.items() if name != "key_ops"}) for jwk in named]
