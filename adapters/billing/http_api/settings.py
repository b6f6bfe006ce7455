"""The settings of an `http_api` connection; the documentation's table is printed from the descriptions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from adapters.billing.http_api.authentication import SECRETS, AuthKind
from adapters.billing.http_api.description import Description
from adapters.billing.http_api.problems import Problem, refuse
from adapters.billing.http_api.yaml_lines import line_of

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class HttpApiSettings(BaseModel):
    """One clinic's link to a billing system that is described in YAML. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="Address of the API; the paths of the description are below it.")
    description: Description = Field(
        description="The billing system: written here, or in a file of its own as `file:PATH` (see the README)."
    )
    token_url: str = Field(
        default="", description="Address of the token endpoint when another host gives the tokens; for oauth2."
    )
    api_key: SecretStr | None = Field(default=None, description="The key; for `auth.kind: api_key`.")
    user: SecretStr | None = Field(default=None, description="The user; for `auth.kind: basic`.")
    password: SecretStr | None = Field(default=None, description="The user's password; for `auth.kind: basic`.")
    client_id: SecretStr | None = Field(default=None, description="The client's id; for `auth.kind: oauth2`.")
    client_secret: SecretStr | None = Field(default=None, description="The client's secret; for `auth.kind: oauth2`.")
    key_id: SecretStr | None = Field(default=None, description="The name of the signing key; for `auth.kind: hmac`.")
    signing_key: SecretStr | None = Field(default=None, description="The signing key; for `auth.kind: hmac`.")
    gap_seconds: float = Field(
        default=0.0, ge=0, le=60, description="Shortest gap between two calls of the same kind, over all workers."
    )
    settle_seconds: float = Field(
        default=120.0,
        ge=0,
        description="How long after a lost answer the vendor may still be saving; only then is the claim looked for.",
    )
    timeout_seconds: float = Field(default=30.0, gt=0, le=300, description="Longest wait for one answer, in seconds.")

    def secret(self, name: str) -> str:
        """A secret setting's value, or ""."""
        value: SecretStr | None = getattr(self, name)
        return value.get_secret_value() if value else ""

    @property
    def token_address(self) -> str:
        """Where an OAuth2 token is asked for."""
        return self.token_url or self.base_url + self.description.auth.token_path

    @field_validator("base_url", "token_url")
    @classmethod
    def _only_over_tls(cls, base_url: str) -> str:
        address = urlsplit(base_url)
        if not base_url:
            raise ValueError("is empty; write https://host")
        if address.query or address.fragment or address.username or address.password:
            raise ValueError("is an address only: no user, no query, no secret")
        if not address.hostname:
            raise ValueError("is no address; write https://host or https://host/path")
        if address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK):
            return base_url.rstrip("/")
        raise ValueError("must begin with https:// (http:// is only for a simulator on this machine)")

    @field_validator("description", mode="before")
    @classmethod
    def _from_file(cls, description: Any) -> Any:
        """The text of a file, as `file:PATH` gives it, with the line of each mistake in that file."""
        return described(description) if isinstance(description, str) else description

    @model_validator(mode="after")
    def _secrets_of_the_kind(self) -> HttpApiSettings:
        needed = SECRETS[self.description.auth.kind]
        kind = self.description.auth.kind
        problems = []
        for name in (name for names in SECRETS.values() for name in names):
            given = self.secret(name)
            if name in needed and not given:
                problems.append(Problem((name,), f"is missing; `auth.kind: {kind}` needs it, as env:NAME or file:PATH"))
            elif name not in needed and given:
                problems.append(Problem((name,), f"does not belong to `auth.kind: {kind}`; remove it"))
            elif not (given.isascii() and given.isprintable()):
                problems.append(Problem((name,), "holds characters that no HTTP header can carry"))
        refuse([*problems, *self._token_problems()])
        return self

    def _token_problems(self) -> list[Problem]:
        wanted = self.description.auth.kind is AuthKind.OAUTH2
        if wanted and bool(self.token_url) is bool(self.description.auth.token_path):
            text = "names no path below base_url: give one, or `token_url` in the settings, and not both"
            return [Problem(("description", "auth", "token_path"), text)]
        return (
            [] if wanted or not self.token_url else [Problem(("token_url",), "is for `auth.kind: oauth2`; remove it")]
        )


def described(text: str) -> Description:
    """The description in a YAML text; raises `ValueError` that names the text's own line and key."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"line {mark.line + 1} of the description" if mark else "the description"
        raise ValueError(f"{where} is not YAML; check indentation, colons and quotes") from None
    if not isinstance(raw, dict):
        raise ValueError("the description is empty or not a mapping; it begins with `vendor:`")
    try:
        return Description.model_validate(raw)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        more = f" ({invalid.error_count() - 1} more to correct)" if invalid.error_count() > 1 else ""
        message = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
        keys = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"line {line_of(text, first['loc'])} of the description, {keys}: {message}{more}") from None


_WORDS = {
    "extra_forbidden": "is not a known key; correct its spelling or remove it",
    "missing": "is missing; add it, see the adapter's README",
}
