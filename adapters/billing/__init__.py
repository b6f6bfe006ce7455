"""Billing vendors."""
