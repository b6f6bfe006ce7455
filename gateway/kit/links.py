"""Addresses that a vendor's answers name: paging links, files of an export, token endpoints."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import httpx

from gateway.kit.smart_key import is_loopback, is_safe_url


def joined(base: str, link: str) -> str:
    """The absolute address of a link; an empty text for one that is no address."""
    try:
        absolute = urljoin(base, link)
        usable = bool(httpx.URL(absolute).scheme) and urlsplit(absolute).port != 0
    except (ValueError, httpx.InvalidURL):
        usable = False
    return absolute if usable else ""


def may_follow(url: str, named_by: str) -> bool:
    """Whether an address that an answer of `named_by` names may be asked.

    It must be a safe one, and on this machine only if `named_by` is: else a vendor could reach what listens here.
    """
    return is_safe_url(url) and (not is_loopback(urlsplit(url).hostname) or is_loopback(urlsplit(named_by).hostname))
