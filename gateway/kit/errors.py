"""The error classes that an adapter raises, under one import for adapter authors."""

from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
    MappingError,
    NotificationMalformed,
    NotificationRejected,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    UnsupportedElement,
    UnsupportedOperation,
    VendorUnavailable,
)

__all__ = [
    "AdapterError",
    "ClaimRejected",
    "CredentialsRejected",
    "DuplicateClaim",
    "ErrorCode",
    "MappingError",
    "NotificationMalformed",
    "NotificationRejected",
    "OutcomeUnknown",
    "PermissionMissing",
    "RateLimited",
    "UnexpectedResponse",
    "UnsupportedElement",
    "UnsupportedOperation",
    "VendorUnavailable",
]
