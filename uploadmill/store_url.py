"""What the address of a store may be: one rule, for settings and for ``open_storage``.

No message shows an address or a part of it: a secret may have come to stand anywhere in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class UrlForm:
    """How the URLs of one scheme are made.

    Attributes:
        within: The option that the URL's host gives; empty: there is no host.
        query: What may stand behind the URL's question mark: nothing secret.
    """

    within: str = ""
    query: tuple[str, ...] = ()


#: By the scheme.
FORMS: Mapping[str, UrlForm] = {
    "file": UrlForm(),
    "memory": UrlForm(),
    "s3": UrlForm("bucket", ("endpoint_url", "region", "addressing")),
    "gs": UrlForm("bucket", ("endpoint_url", "project_id")),
    "azure": UrlForm("container", ("account_url",)),
}

#: Options that are addresses of servers.
ENDPOINTS = ("endpoint_url", "account_url")

_SECRETS = ("access_key", "secret_key")

#: What names of buckets and containers are made of. Neither ``:`` nor ``%``: those are of keys.
_BUCKET = re.compile(r"[A-Za-z0-9._$-]+")

#: A host and a port, if any; an IPv6 address stands in brackets.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def url_options(url: str) -> tuple[str, dict[str, str]]:
    """The scheme of a store's URL, and the options that it stands for.

    Raises:
        ValueError: It is no URL of a store, or has a place where a secret could hide.
    """
    parts = _split(url, "the URL")
    form = FORMS.get(parts.scheme)
    if form is None:
        known = ", ".join(sorted(FORMS))
        raise ValueError(f"the URL begins with no scheme that is known; there are: {known}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    _refuse_credentials(url, form, query)
    if parts.fragment:
        raise ValueError("a '#' in a URL ends it; write %23")
    _check_query(parts.scheme, form, query)
    return parts.scheme, query | _place(parts, form)


def check_endpoint(option: str, url: str) -> None:
    """Refuse what is no address of a server, as the value of *option*.

    Raises:
        ValueError: Says why, and what to write.
    """
    parts = _checked(option, url)
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc):
        raise ValueError(f"{option} is no address of a server; write https://host or with a port")


def check_public(option: str, url: str) -> None:
    """Refuse what keys cannot be put behind, as the value of *option*.

    Raises:
        ValueError: Says why, and what to write.
    """
    parts = _checked(option, url)
    if not parts.scheme and not url.startswith("/"):
        raise ValueError(f"{option} is no address; write https://host/path")
    if parts.netloc and not _HOST.fullmatch(parts.netloc):
        raise ValueError(f"{option} has no valid host; write https://host/path")


def _checked(option: str, url: str) -> SplitResult:
    """What is true of every address that is an option."""
    parts = _split(url, option)
    if "@" in url:
        raise ValueError(f"credentials do not belong in {option}; an '@' in a path is %40")
    if "?" in url or "#" in url:
        raise ValueError(f"{option} has a query or a '#'; it ends before that")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"{option} has no valid port") from None
    return parts


def _split(url: str, what: str) -> SplitResult:
    if not isinstance(url, str):
        raise ValueError(f"{what} is no text; give a str")  # noqa: TRY004 (a mistake in settings)
    if not url.isprintable():
        raise ValueError(f"{what} has a control character, or another that cannot be seen")
    try:
        return urlsplit(url)
    except ValueError:
        # The cause shows the address.
        raise ValueError(f"{what} is malformed: its host is no name and no address") from None


def _refuse_credentials(url: str, form: UrlForm, query: Mapping[str, str]) -> None:
    before = url.partition("?")[0]
    # A secret with a '/' ends the host early, so the '@' may stand in what is then the path.
    if (form.within and "@" in before) or any(option in query for option in _SECRETS):
        raise ValueError(
            "credentials do not belong in a URL; pass them as options or settings, or leave them "
            "to the provider's own chain (an '@' in a prefix is written %40)"
        )


def _check_query(scheme: str, form: UrlForm, query: Mapping[str, str]) -> None:
    for option, value in query.items():
        if option not in form.query:
            # Which one is not said: a secret may have come to stand there.
            there_are = ", ".join(form.query) or "none"
            raise ValueError(
                f"the URL has an option that {scheme} URLs do not have; there are: {there_are}"
            )
        if option in ENDPOINTS:
            check_endpoint(option, value)


def _place(parts: SplitResult, form: UrlForm) -> dict[str, str]:
    """What stands before the question mark, as options."""
    path = unquote(parts.path)
    if form.within:
        if parts.netloc and not _BUCKET.fullmatch(parts.netloc):
            raise ValueError(
                f"what stands behind {parts.scheme}:// is no name of a {form.within}; credentials "
                "and ports do not belong there"
            )
        return {form.within: parts.netloc, "base_path": path}
    if parts.scheme == "memory":
        if parts.netloc or path:
            raise ValueError("a memory store has no path; write memory:")
        return {}
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise ValueError("write file:///path, with three slashes")
    return {"base_path": path}
