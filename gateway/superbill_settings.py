"""The part of gateway.yaml that tells how a clinic's superbill files are written and where they arrive."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.canonical.superbill import Layout
from gateway.canonical.superbill_columns import COLUMNS
from gateway.settings_base import Strict


class SuperbillSftpSettings(Strict):
    """An SFTP server on which superbill files arrive."""

    host: str = Field(min_length=1, description="The SFTP server's name.")
    port: int = Field(default=22, ge=1, le=65535, description="Its port.")
    user: str = Field(min_length=1, description="The user on it.")
    password: SecretStr = Field(default=SecretStr(""), description="The user's password, if it has one.")
    private_key: SecretStr = Field(default=SecretStr(""), description="The user's private key (OpenSSH text), if any.")
    host_key: str = Field(min_length=1, description="The server's public key as in known_hosts: another is refused.")
    directory: str = Field(min_length=1, description="The directory in which files arrive.")
    rejected_directory: str = Field(min_length=1, description="Where files with mistakes go, with their reports.")


class SuperbillSettings(Strict):
    """Charges that come as an export of superbills (CSV)."""

    connection: str = Field(default="", description="The EHR connection whose charges they are; needed for several.")
    matching_key: SecretStr = Field(
        description="16 characters or more; keys the hashes by which superbills find encounters. Keep it for good."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Our column to the export's header, where they differ."
    )
    ignored_columns: tuple[str, ...] = Field(default=(), description="Headers of the export that are not needed.")
    date_format: str = Field(default="%Y-%m-%d", description="How dates are written, e.g. %m/%d/%Y.")
    encoding: Literal["utf-8", "cp1252"] = Field(default="utf-8", description="utf-8 (with or without BOM) or cp1252.")
    delimiter: Literal[",", ";", "\t", "|"] = Field(default=",", description="What separates the cells.")
    ready_statuses: tuple[str, ...] = Field(
        default=("Ready for biller",),
        min_length=1,
        description="The statuses that may be billed, where the export has a status column; others are drafts.",
    )
    folder: str = Field(default="", description="A folder that is watched, relative to gateway.yaml; empty: none.")
    rejected_folder: str = Field(
        default="", description="Where files with mistakes go, with their reports; empty: `rejected` in the folder."
    )
    sftp: SuperbillSftpSettings | None = Field(default=None, description="An SFTP server, instead of a folder.")
    look_seconds: float = Field(default=60.0, gt=0, description="Seconds between two looks for files.")
    upload_secret: SecretStr = Field(
        default=SecretStr(""), description="Lets `POST /superbills/{clinic}` in as a bearer token; empty: no uploads."
    )
    unmatched_days: int = Field(
        default=3, ge=0, description="After so many days a superbill without an encounter is shown as unmatched."
    )
    max_bytes: int = Field(default=10_000_000, gt=0, description="The largest file that is read, in bytes.")
    max_rows: int = Field(default=20_000, gt=0, description="The most rows that a file may have.")

    @field_validator("matching_key", "upload_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("must have 16 characters or more")
        return value

    @field_validator("matching_key")
    @classmethod
    def _there(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            raise ValueError("must have 16 characters or more")
        return value

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = next((name for name in value if name not in COLUMNS), None)
        if unknown is not None:
            raise ValueError(f"has no column {unknown}; the columns are {', '.join(COLUMNS)}")
        if len({header.strip().casefold() for header in value.values()}) < len(value):
            raise ValueError("gives two of our columns the same header")
        return {name: header.strip() for name, header in value.items()}

    @field_validator("date_format")
    @classmethod
    def _whole_date(cls, value: str) -> str:
        written = date(2026, 3, 4).strftime(value)
        try:
            read = datetime.strptime(written, value).date()  # noqa: DTZ007
        except ValueError:
            read = None
        if read != date(2026, 3, 4):
            raise ValueError("must hold year, month and day, e.g. %Y-%m-%d or %m/%d/%Y")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.folder and self.sftp:
            raise ValueError("files arrive in a folder or by SFTP: leave one of `folder` and `sftp` out")
        return self

    @property
    def layout(self) -> Layout:
        """How the files are written."""
        return Layout(
            columns=self.columns,
            ignored=frozenset(self.ignored_columns),
            date_format=self.date_format,
            encoding=self.encoding,
            delimiter=self.delimiter,
            ready_statuses=self.ready_statuses,
            max_rows=self.max_rows,
        )
