"""The settings of an X12 837P connection; the documentation's table is printed from the descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

Delivery = Literal["sftp", "folder", "claim_md", "stedi", "optum"]
FILING_CODES = frozenset(
    {
        *("11", "12", "13", "14", "15", "16", "17", "AM", "BL", "CH", "CI", "DS"),
        *("FI", "HM", "LM", "MA", "MB", "MC", "OF", "TV", "VA", "WC", "ZZ"),
    }
)
"""SBR09 (section 2)."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,14}$"


def _over_tls(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return address.rstrip("/")
    raise ValueError("must begin with https:// (http:// is only for a simulator on this machine)")


HttpsUrl = Annotated[str, AfterValidator(_over_tls)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SftpSettings(_Strict):
    """The clearinghouse's SFTP server."""

    host: str = Field(min_length=1, description="Name of the SFTP server.")
    port: int = Field(22, gt=0, le=65535, description="Port of the SFTP server.")
    user: str = Field(min_length=1, description="Login name.")
    password: SecretStr = Field(SecretStr(""), description="Password, unless a key is used.")
    private_key: SecretStr = Field(SecretStr(""), description="Private key in OpenSSH or PEM form, unless a password.")
    host_key: str = Field(min_length=1, description="The server's public key as in known_hosts: ssh-ed25519 AAAA...")
    outgoing: str = Field("/inbound", description="Directory that takes our claim files.")
    incoming: str = Field("/outbound", description="Directory that holds the clearinghouse's files.")

    @model_validator(mode="after")
    def _one_proof(self) -> SftpSettings:
        if not self.password.get_secret_value() and not self.private_key.get_secret_value():
            raise ValueError("needs a password or a private_key")
        return self


class FolderSettings(_Strict):
    """Two folders of this machine, which a clearinghouse's own program watches."""

    outgoing: Path = Field(description="Folder that takes our claim files.")
    incoming: Path = Field(description="Folder that holds the clearinghouse's files.")


class ClaimMdSettings(_Strict):
    """Claim.MD's API."""

    base_url: HttpsUrl = Field("https://svc.claim.md", description="Address of Claim.MD.")
    account_key: SecretStr = Field(description="The account's API key.")


class StediSettings(_Strict):
    """Stedi's claims API. Its test and production modes differ only by the key."""

    base_url: HttpsUrl = Field("https://healthcare.us.stedi.com/2024-04-01", description="Address of the claims API.")
    core_url: HttpsUrl = Field("https://core.us.stedi.com/2023-08-01", description="Address of the transactions API.")
    api_key: SecretStr = Field(description="API key.")


class OptumSettings(_Strict):
    """Optum's (formerly Change Healthcare's) claims API."""

    base_url: HttpsUrl = Field("https://apigw.optum.com", description="Address of the API.")
    client_id: str = Field(min_length=1, description="OAuth 2 client id.")
    client_secret: SecretStr = Field(description="OAuth 2 client secret.")


class X12Settings(_Strict):
    """One clinic's link to a clearinghouse or payer. Unknown keys are refused."""

    delivery: Delivery = Field(description="How claims travel; the settings of that name are then needed.")
    sftp: SftpSettings | None = Field(None, description="Files over SFTP.")
    folder: FolderSettings | None = Field(None, description="Files in two folders of this machine.")
    claim_md: ClaimMdSettings | None = Field(None, description="Files over Claim.MD's API.")
    stedi: StediSettings | None = Field(None, description="Claims one by one over Stedi's JSON API.")
    optum: OptumSettings | None = Field(None, description="Claims one by one over Optum's JSON API.")
    submitter_id: str = Field(
        pattern=_IDENTIFIER, description="Our id at the clearinghouse (ISA06, GS02, 1000A), at most 15 characters."
    )
    receiver_id: str = Field(
        pattern=_IDENTIFIER, description="The clearinghouse's id (ISA08, GS03, 1000B), at most 15 characters."
    )
    submitter_qualifier: str = Field("ZZ", pattern=r"^[0-9A-Z]{2}$", description="Kind of submitter_id (ISA05).")
    receiver_qualifier: str = Field("ZZ", pattern=r"^[0-9A-Z]{2}$", description="Kind of receiver_id (ISA07).")
    submitter_name: str = Field(
        "", max_length=60, description="Name of the submitter (1000A); empty: the billing provider's."
    )
    receiver_name: str = Field(
        "", max_length=60, description="Name of the clearinghouse (1000B); empty: its receiver_id."
    )
    contact_name: str = Field("BILLING DESK", min_length=1, max_length=60, description="Whom to call (1000A PER02).")
    contact_phone: str = Field(
        "", pattern=r"^(\d{10})?$", description="Ten digits (1000A PER04); empty: the billing provider's telephone."
    )
    control_number_offset: int = Field(
        0,
        ge=0,
        lt=900_000_000,
        description="Added to the gateway's control numbers (ISA13), where another system has used these ids before.",
    )
    usage: Literal["P", "T"] = Field("P", description="P sends claims to payers, T is a test (ISA15).")
    request_ta1: bool = Field(False, description="Ask for an interchange acknowledgment (ISA14).")
    file_suffix: str = Field(
        ".837", pattern=r"^[A-Za-z0-9._-]{1,20}$", description="End of the names of our files (sftp, folder, claim_md)."
    )
    claim_filing_codes: dict[str, str] = Field(
        default_factory=dict, description="Payer id to SBR09 code, where the coverage's own type is wrong or missing."
    )
    default_filing_code: str = Field("CI", description="SBR09 of a coverage whose type says nothing.")
    medicare_secondary_type: Literal["", "12", "13", "14", "15", "16", "41", "42", "43", "47"] = Field(
        "",
        description="Why Medicare does not pay first, where it is a later coverage (SBR05); empty: hold such a claim.",
    )
    batch_most: int = Field(100, ge=1, le=2000, description="Most claims in one interchange (sftp, folder, claim_md).")
    batch_seconds: float = Field(0.0, ge=0, description="How long claims are collected; 0 sends what waits.")
    settle_seconds: float = Field(
        120.0,
        ge=0,
        description="How long after a lost answer the vendor may still be saving it.",
    )
    timeout_seconds: float = Field(30.0, gt=0, le=300, description="Longest wait for one answer, in seconds.")

    @field_validator("default_filing_code", "claim_filing_codes")
    @classmethod
    def _known_filing_codes(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        unknown = set(value.values() if isinstance(value, dict) else [value]) - FILING_CODES
        if unknown:
            raise ValueError(f"{min(unknown)} is no claim filing code; known are {' '.join(sorted(FILING_CODES))}")
        return value

    @model_validator(mode="after")
    def _delivery_is_described(self) -> X12Settings:
        if getattr(self, self.delivery) is None:
            raise ValueError(f"delivery {self.delivery} needs the settings {self.delivery}")
        return self
