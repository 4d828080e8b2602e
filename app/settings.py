"""Every setting, from the environment or `.env`. Only entry points and the composition root read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.normalize import REGIONS
from app.errors import LeadkeeperError

#: An address of a service: http or https, a host, perhaps a port and a path.
_URL = r"^https?://[^/?#\s]+(/[^?#\s]*)?$"
#: Secrets people copy from examples.
PLACEHOLDERS = frozenset({"changethis", "changeme", "secret", "password", "replace-me", "xxx", "test"})


class SettingsError(LeadkeeperError):
    """A setting is missing or cannot be used."""


class Settings(BaseSettings):
    """The service's settings; each is described where it is declared, and listed in `.env.example`."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True)

    database_url: str | None = Field(
        None,
        alias="DATABASE_URL",
        description="The app role's database; unset: an embedded Postgres in the data folder.",
    )
    migration_database_url: SecretStr | None = Field(
        None, alias="MIGRATION_DATABASE_URL", description="The owner role's address of the same database."
    )
    data_dir: Path = Field(
        Path("data"), alias="LEADKEEPER_DATA_DIR", description="Where local data lives; created with mode 700."
    )
    env: Literal["development", "production"] = Field(
        "development", alias="LEADKEEPER_ENV", description="In production a secret key is required."
    )
    secret_key: SecretStr | None = Field(
        None, alias="LEADKEEPER_SECRET_KEY", description="Encrypts secrets at rest; 32 random characters or more."
    )
    airtable_api_url: str = Field(
        "https://api.airtable.com", alias="AIRTABLE_API_URL", pattern=_URL, description="Where Airtable's Web API is."
    )
    instantly_api_url: str = Field(
        "https://api.instantly.ai", alias="INSTANTLY_API_URL", pattern=_URL, description="Where Instantly's API v2 is."
    )
    airtable_token: SecretStr | None = Field(
        None, alias="AIRTABLE_TOKEN", description="With a base and a table: a first Airtable connection at first start."
    )
    airtable_base_id: str | None = Field(None, alias="AIRTABLE_BASE_ID", description="The base of that connection.")
    airtable_table_id: str | None = Field(None, alias="AIRTABLE_TABLE_ID", description="The table of that connection.")
    instantly_api_key: SecretStr | None = Field(
        None, alias="INSTANTLY_API_KEY", description="A first Instantly connection at first start."
    )
    sync_interval_minutes: int = Field(
        15, alias="SYNC_INTERVAL_MINUTES", ge=1, le=1440, description="Minutes between two syncs of a new connection."
    )
    default_region: str = Field(
        "NL", alias="DEFAULT_REGION", description="The country of phone numbers without a country code, as two letters."
    )
    scheduler_tick_seconds: float = Field(
        2.0, alias="SCHEDULER_TICK_SECONDS", gt=0, le=60, description="Seconds between two looks for due work."
    )
    public_url: str | None = Field(
        None,
        alias="PUBLIC_URL",
        pattern=_URL,
        description="Where Instantly can reach this service; unset: no webhook is registered there.",
    )
    host: str = Field("127.0.0.1", alias="HOST", description="The address the service listens on.")
    port: int = Field(8000, alias="PORT", ge=0, le=65535, description="The port the service listens on.")
    database_pool: int = Field(10, alias="DATABASE_POOL", ge=2, le=100, description="Database connections at most.")
    max_body_bytes: int = Field(
        1_000_000, alias="MAX_BODY_BYTES", ge=1, description="The largest request body, in bytes."
    )
    rate_per_minute: int = Field(1200, alias="RATE_PER_MINUTE", ge=1, description="Requests per API key and minute.")
    wrong_keys_per_minute: int = Field(
        20, alias="WRONG_KEYS_PER_MINUTE", ge=1, description="Requests with a wrong API key per client and minute."
    )
    cors_origins: str = Field("", alias="CORS_ORIGINS", description="Origins a browser may call from, comma-separated.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="LOG_LEVEL", description="The least important log line that is written."
    )
    log_json: bool = Field(False, alias="LOG_JSON", description="Log lines as JSON instead of for reading.")

    @model_validator(mode="after")
    def _usable(self) -> Settings:
        key = self.secret_key.get_secret_value() if self.secret_key else None
        if self.env == "production" and key is None:
            raise ValueError("LEADKEEPER_SECRET_KEY is required in production: set it to 32 random characters or more.")
        if key is not None and (len(key) < 32 or key.lower() in PLACEHOLDERS):
            raise ValueError("LEADKEEPER_SECRET_KEY is a placeholder or too short: use 32 random characters or more.")
        if self.default_region not in REGIONS:
            raise ValueError("DEFAULT_REGION is no country code of two letters, such as NL, BE or GB")
        if self.migration_database_url is not None and self.database_url is None:
            raise ValueError(
                "MIGRATION_DATABASE_URL is set and DATABASE_URL is not: set both, or neither for the embedded Postgres"
            )
        origins = [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]
        if not all(origin == "*" or re.fullmatch(r"https?://[^/?#\s]+", origin) for origin in origins):
            raise ValueError(
                "CORS_ORIGINS holds what is no origin: write each as a browser sends it, https://app.example.com"
            )
        return self


def load() -> Settings:
    """Reads the settings; raises `SettingsError` with one sentence per setting that cannot be used."""
    try:
        return Settings()
    except ValueError as exc:
        problems: list[dict[str, Any]] = getattr(exc, "errors", list)()
        raise SettingsError(" ".join(map(_sentence, problems)) or str(exc)) from exc


def _sentence(problem: dict[str, Any]) -> str:
    """Says what is wrong with one setting; never shows its value, which may be a secret."""
    if problem["type"] == "string_pattern_mismatch":
        problem = problem | {"msg": "This is no address: write https://host or http://host:port"}
    words = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    if not problem["loc"]:
        return f"{words}."
    return f"{problem['loc'][0]}: {words}; correct it in the environment or .env (.env.example lists every setting)."
