"""Typed access to a resource for adapter authors and app developers, by the models of `fhir.resources`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.canonical.errors import ClaimInvalid
from gateway.canonical.expressions import expression_of
from gateway.canonical.findings import error
from gateway.canonical.models import Resource

if TYPE_CHECKING:
    from fhir_core.fhirabstractmodel import FHIRAbstractModel


def typed(resource: Resource) -> FHIRAbstractModel:
    """The resource as its R4B model, for reading with auto-completion: `typed(claim).item[0].net.value`.

    Read from it, never write it back out: the models lose the scale of decimals (105.00 becomes 105.0) and check no
    code bindings, so the JSON object stays the truth and `validation` the judge. R4B names every element of the
    resources used here as R4 does. The import takes about half a second and happens at the first call.

    Raises `ClaimInvalid` with one finding per element that does not fit; the texts carry no values.
    """
    from fhir.resources.R4B import get_fhir_model_class  # noqa: PLC0415
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        kind = str(resource["resourceType"])
        model: type[FHIRAbstractModel] = get_fhir_model_class(kind)
    except (KeyError, ValueError):
        raise ClaimInvalid([error("typed-model", "Resource", "FHIR R4 has no such resource type.")]) from None
    try:
        return model.model_validate(resource)
    except ValidationError as problem:
        issues = problem.errors(include_url=False, include_context=False, include_input=False)
        paths = dict.fromkeys(expression_of(_path(kind, issue["loc"])) for issue in issues)
    raise ClaimInvalid([error("typed-model", path, "The element does not fit its FHIR R4 type.") for path in paths])


def _path(kind: str, location: tuple[Any, ...]) -> str:
    return kind + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
