"""The FHIR billing gateway: a signed-off encounter becomes one claim in the billing system."""
