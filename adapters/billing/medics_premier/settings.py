"""The settings of a MedicsPremier connection; the documentation's table is printed from the descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from adapters.billing.medics_premier.layout import arrange
from gateway.kit.encoders.hl7 import address

API_URL = "https://api.myadsc.com/api/v4/edi"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_STRICT = ConfigDict(extra="forbid", frozen=True)


class MllpTransport(BaseModel):
    """HL7 over MLLP, over TLS or inside a VPN."""

    model_config = _STRICT

    kind: Literal["mllp"] = Field("mllp", description="HL7 over a TCP connection.")
    host: str = Field(min_length=1, description="Host of the receiver.")
    port: int = Field(gt=0, le=65535, description="Port of the receiver.")
    tls: bool = Field(True, description="Encrypt by TLS; false only inside a VPN or on this machine.")
    tls_server_name: str = Field("", description="Name in the receiver's certificate, when it differs from the host.")
    tls_ca_file: Path | None = Field(None, description="PEM file of the authority that signed the certificate.")
    tls_certificate_file: Path | None = Field(None, description="PEM file of the clinic's own certificate.")
    tls_key_file: Path | None = Field(None, description="PEM file of its private key.")
    idle_seconds: float = Field(
        30.0, gt=0, description="A connection unused for so long is opened anew: receivers close idle ones."
    )


class FolderTransport(BaseModel):
    """HL7 files in two folders of this machine."""

    model_config = _STRICT

    kind: Literal["folder"] = Field(description="HL7 files in a folder that the vendor's program watches.")
    outgoing: Path = Field(description="Folder for the messages.")
    incoming: Path = Field(description="Folder where the receiver puts its acknowledgments.")
    envelope: bool = Field(False, description="Put FHS, BHS, BTS and FTS around the messages of a file.")


class SftpTransport(BaseModel):
    """HL7 files in two directories of an SFTP server."""

    model_config = _STRICT

    kind: Literal["sftp"] = Field(description="HL7 files on an SFTP server.")
    host: str = Field(min_length=1, description="Host of the SFTP server.")
    port: int = Field(22, gt=0, le=65535, description="Port of the SFTP server.")
    user: str = Field(min_length=1, description="SFTP user.")
    password: SecretStr = Field(SecretStr(""), description="Password, or empty with a private key.")
    private_key: SecretStr = Field(SecretStr(""), description="Private key (PEM), or empty with a password.")
    host_key: str = Field(min_length=1, description="The server's public key as in known_hosts.")
    outgoing: str = Field(description="Directory for the messages.")
    incoming: str = Field(description="Directory where the receiver puts its acknowledgments.")
    envelope: bool = Field(False, description="Put FHS, BHS, BTS and FTS around the messages of a file.")


class ApiV4(BaseModel):
    """The ADS JSON API v4 (area demographics)."""

    model_config = _STRICT

    url: str = Field(API_URL, description="Address of the API; its path is signed.")
    user_agent: str = Field("ClaimGateway", min_length=1, description="Vendor name registered with ADS.")
    gateway_key: SecretStr = Field(description="Gateway key of the clinic.")
    secret_key: SecretStr = Field(description="Secret key that signs; ADS wants it in the body too.")
    authstring: SecretStr = Field(description="ADS's authstring: base64 of AREA:USER.")
    entity: str = Field("1", description="Company number.")
    endpoint: str = Field(description="The clinic's own CSP address, e.g. https://host/csp/prem/api.v4.cls.")
    profile: str = Field(description="Profile of the clinic at ADS.")
    digest_style: Literal["hex", "binary"] = Field(
        "hex", description="What is put into base64: the hex text of a digest (the proven client) or its bytes."
    )

    @field_validator("url")
    @classmethod
    def _only_over_tls(cls, url: str) -> str:
        at = urlsplit(url)
        if at.scheme == "https" or (at.scheme == "http" and at.hostname in _LOOPBACK):
            return url
        raise ValueError("must begin with https:// (http:// is only for a simulator on this machine)")


class CodeLabels(BaseModel):
    """Names of the code systems as the site writes them."""

    model_config = _STRICT

    cpt: str = Field(default="CPT", description="Label of CPT codes: CPT, C4, CPT4.")
    hcpcs: str = Field(default="HCPCS", description="Label of HCPCS Level II codes.")
    icd10: str = Field(default="I10", description="Label of diagnoses: I10, ICD10.")
    ndc: str = Field(default="NDC", description="Label of drug codes.")


class PayerCode(BaseModel):
    """MedicsPremier's codes of one payer."""

    model_config = _STRICT

    company: str = Field(min_length=1, description="Insurance company (IN1-3).")
    plan: str = Field(default="", description="Insurance plan (IN1-2); the company's code when empty.")


class MedicsPremierSettings(BaseModel):
    """One clinic's link to MedicsPremier. Unknown keys are refused; names and positions are agreed with ADS."""

    model_config = _STRICT

    transport: Annotated[MllpTransport | FolderTransport | SftpTransport, Field(discriminator="kind")] = Field(
        description="How messages travel: kind mllp (host, port, TLS), folder or sftp."
    )
    sending_application: str = Field("CLAIMGW", min_length=1, description="MSH-3, as registered with ADS.")
    sending_facility: str = Field(min_length=1, description="MSH-4, as registered with ADS.")
    receiving_application: str = Field("MEDICSPREMIER", description="MSH-5.")
    receiving_facility: str = Field(description="MSH-6: often the company or entity number.")
    processing_id: Literal["P", "T"] = Field("P", description="MSH-11: production or training.")
    hl7_version: Literal["2.3.1", "2.5.1"] = Field("2.5.1", description="MSH-12; old installations want 2.3.1.")
    trigger_event: Literal["P03", "P11"] = Field("P03", description="DFT^P03, or DFT^P11 (2.5.1) where known.")
    diagnosis_groups: Literal["per_claim", "per_line"] = Field(
        "per_claim",
        description="DG1 once for the claim, or after each FT1 for its own diagnoses (P11, and a site habit).",
    )
    acknowledgment: Literal["original", "commit"] = Field(
        "original", description="Original mode (AA, AE, AR), or a commit acknowledgment only (CA, CE, CR)."
    )
    character_set: Literal["ASCII", "8859/1", "UNICODE UTF-8"] = Field(
        "UNICODE UTF-8", description="Character set; MSH-18 names it when a message needs more than ASCII."
    )
    demographics: Literal["adt", "api_v4", "none"] = Field(
        "adt", description="Who tells of the patient before the charges: an ADT message, the ADS API v4, or nobody."
    )
    adt_event: Literal["A04", "A08"] = Field("A04", description="ADT^A04 registers, ADT^A08 updates.")
    api: ApiV4 | None = Field(None, description="The ADS API v4; needed with demographics api_v4.")
    labels: CodeLabels = Field(default_factory=CodeLabels, description="Labels of code systems.")
    diagnosis_dots: bool = Field(True, description="Write diagnoses with the dot.")
    amounts: bool = Field(True, description="Send prices; false lets MedicsPremier's fee schedule price the lines.")
    mrn_field: Literal["PID-2", "PID-3", "PID-18"] = Field(
        "PID-3", description="Field of the medical record number; another one than PID-3 is filled beside it."
    )
    mrn_authority: str = Field("", description="Assigning authority of the number; empty: the sending facility.")
    pos_field: str = Field("FT1-16.9", description="Where the place of service goes.")
    provider_key: Literal["npi", "table"] = Field("npi", description="Providers by NPI, or by MedicsPremier's codes.")
    providers: dict[str, str] = Field(default_factory=dict, description="NPI to MedicsPremier's provider code.")
    locations: dict[str, str] = Field(
        default_factory=dict,
        description="NPI or name of a facility to MedicsPremier's location; empty: the name is sent.",
    )
    payers: dict[str, PayerCode] = Field(
        default_factory=dict, description="Payer id to MedicsPremier's company and plan; empty: the payer id is sent."
    )
    relationships: dict[str, str] = Field(
        default_factory=lambda: {"self": "SEL", "spouse": "SPO", "child": "CHD"},
        description="FHIR relationship to the subscriber to the code of IN1-17 and GT1-11; others become OTH.",
    )
    guarantor: Literal["subscriber", "patient", "none"] = Field(
        "subscriber", description="Who stands in GT1: the subscriber of the first coverage, the patient, or no GT1."
    )
    transaction_id_length: int = Field(
        20,
        ge=12,
        le=20,
        description="Longest FT1-2 that the receiver keeps: 12 for one that cuts to the standard's length.",
    )
    payment_code: str = Field(
        "", description="Transaction code of a patient's payment; empty: claims with such a payment are held."
    )
    field_overrides: dict[str, str] = Field(
        default_factory=dict,
        description="Fields that differ: address to a path, to 'a text' in quotes, or to nothing to leave it out.",
    )
    waived_elements: tuple[str, ...] = Field((), description="Elements that the site agreed need not be sent.")
    receiver_drops_duplicates: bool = Field(
        False, description="The receiver is known to ignore a charge whose FT1-2 it has: a lost answer is sent again."
    )
    probe_by_message: bool = Field(
        True, description="Let `gateway check` send an NMQ^N01, which changes nothing; false: it only connects."
    )
    settle_seconds: float = Field(60.0, ge=0, description="Wait before a message without an answer is looked at again.")
    timeout_seconds: float = Field(30.0, gt=0, le=300, description="Longest wait for one acknowledgment, in seconds.")

    @model_validator(mode="after")
    def _fits_together(self) -> MedicsPremierSettings:
        address(self.pos_field)
        arrange(self)
        if self.trigger_event == "P11" and self.hl7_version != "2.5.1":
            raise ValueError("trigger_event P11 needs hl7_version 2.5.1")
        if self.demographics == "api_v4" and self.api is None:
            raise ValueError("demographics api_v4 needs the settings under api")
        if self.provider_key == "table" and not self.providers:
            raise ValueError("provider_key table needs the table providers")
        return self
