"""Secrets: encrypted at rest, recognised by keyed hashes, and API keys of which only a hash is kept."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import LeadkeeperError

#: What every API key begins with, so that people and scanners recognise one.
KEY_PREFIX = "lk_"
#: In a connection's secret: what its provider shows us. It tells no account from another.
WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a name, no secret


class VaultError(LeadkeeperError):
    """A secret cannot be read with this LEADKEEPER_SECRET_KEY: set the key it was stored under, or enter it again."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class WrongSecretKey(LeadkeeperError):
    """What the database holds was made under another secret key."""

    def __init__(self) -> None:
        super().__init__(
            "This database was begun with another LEADKEEPER_SECRET_KEY (or another data folder's secret.key): use that"
            " one. Under this one no connection works, and nobody knows any more who has unsubscribed or was erased."
        )


class NoLocalKey(LeadkeeperError):
    """The data folder's secret.key holds no key, and under another one nothing stored can be read."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no key: put back the one that was there, or remove the file if there was none.")


class Vault:
    """Encrypts and hashes with keys derived from the service's secret key, one for each purpose."""

    def __init__(self, secret_key: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(_derive(secret_key, b"secrets at rest")))
        self._accounts = _derive(secret_key, b"account fingerprints")
        self._addresses = _derive(secret_key, b"suppressed addresses")
        #: by what the secret key is recognised
        self.key_hash = _derive(secret_key, b"the key itself")

    def seal(self, secret: dict[str, str]) -> bytes:
        """Encrypts a connection's secret."""
        return self._fernet.encrypt(orjson.dumps(secret))

    def open(self, sealed: bytes) -> dict[str, str]:
        """Decrypts a connection's secret; raises `VaultError` under another key."""
        try:
            content: dict[str, str] = orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise VaultError from None
        return content

    def fingerprint(self, secret: dict[str, str]) -> str:
        """Recognises the same account without decrypting anything, whatever its webhook secret."""
        shown = {name: value for name, value in secret.items() if name != WEBHOOK_SECRET}
        canonical = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
        return hmac.new(self._accounts, canonical, hashlib.sha256).hexdigest()

    def address(self, email: str) -> bytes:
        """Recognises an address without keeping it."""
        return hmac.new(self._addresses, email.strip().lower().encode(), hashlib.sha256).digest()


def new_key() -> tuple[str, str, bytes]:
    """Makes an API key of 256 random bits; returns the key (shown once), its visible prefix, and what is stored."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, key[:10], key_hash(key)


def key_hash(key: str) -> bytes:
    """Returns what is stored of an API key. It has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(key.encode()).digest()


def new_webhook_secret() -> str:
    """Makes what a provider must show with every delivery."""
    return "whs_" + secrets.token_urlsafe(32)


def webhook_hash(secret: bytes) -> bytes:
    """Returns what a webhook secret is recognised by."""
    return hashlib.sha256(secret).digest()


def local_key(data_dir: Path) -> str:
    """Returns the secret key of a development installation, made once and kept in the data folder (mode 600)."""
    path = data_dir / "secret.key"
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # made aside and linked: whoever starts at the same moment finds a whole key
        with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix=".secret.") as fresh:
            fresh.write(secrets.token_urlsafe(32))
            fresh.flush()
            os.fsync(fresh.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh.name, path)
    found = path.read_text().strip()
    if len(found) < 32:
        # an empty key would encrypt for everybody
        raise NoLocalKey(path)
    return found


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=b"leadkeeper", info=purpose).derive(secret_key.encode())
