"""The storage contract as a program: every back end passes it, an operator can run it.

It works in a folder of a random name and leaves nothing behind.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from uploadmill.backends.storage import (
    contract_arguments,
    contract_derived,
    contract_features,
    contract_keys,
    contract_list,
    contract_put,
    contract_read,
    contract_states,
)
from uploadmill.backends.storage.base import Storage
from uploadmill.backends.storage.contract_ground import ContractBroken, Ground, NotOffered, same

#: Bytes of the large object: more than our stores send in one request (8 MiB).
LARGE = 9 << 20

#: Objects in a long list: more than S3 gives or takes at once (1,000).
MANY = 1001

#: Objects deleted at once when tidying up.
_BATCH = 1000

Check = Callable[[Ground], None]

#: Every check by its name, in the order they run.
CHECKS: dict[str, Check] = {
    check.__name__: check
    for module in (
        contract_put,
        contract_read,
        contract_states,
        contract_keys,
        contract_list,
        contract_derived,
        contract_features,
        contract_arguments,
    )
    for check in module.CHECKS
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check went.

    Attributes:
        name: Of the check.
        ok: Whether the store does as the contract says.
        detail: What it did instead; when ok, why it does not offer this, or empty.
        ms: Wall time in milliseconds.
        offered: False where the store says that it has not got this, as it may.
    """

    name: str
    ok: bool
    detail: str
    ms: float
    offered: bool = True


def run_contract(
    storage: Storage, *, large: int = LARGE, many: int = MANY
) -> Iterator[CheckResult]:
    """Check a store against the whole contract, one result as soon as it is known.

    Args:
        storage: Any store; what it holds already is not touched.
        large: Bytes of a large object: more than the store sends in one request.
        many: Objects in a long list: more than the store gives or takes at once.
    """
    ground = Ground(storage, f"uploadmill-check-{secrets.token_hex(8)}/", large, many)
    try:
        for name, check in CHECKS.items():
            yield run_check(name, check, ground)
    finally:
        last = run_check("leaves_nothing_behind", leave_nothing, ground)
    yield last


def run_check(name: str, check: Check, ground: Ground) -> CheckResult:
    """Run one check; whatever it raises is the result's detail."""
    began = time.monotonic()
    detail = ""
    try:
        check(ground)
    except NotOffered as error:
        return CheckResult(name, True, str(error), _ms_since(began), offered=False)  # noqa: FBT003 (a result)
    except ContractBroken as error:
        detail = str(error)
    except Exception as error:  # noqa: BLE001 (a broken store may raise anything)
        detail = f"{type(error).__name__}: {error}"
    return CheckResult(name, not detail, detail, _ms_since(began))


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1000


def leave_nothing(ground: Ground) -> None:
    """Delete everything this run has made, and look."""
    found = (stat.key for stat in ground.storage.list(ground.folder))
    while batch := list(islice(found, _BATCH)):
        ground.storage.delete(*batch)
    same([], [stat.key for stat in ground.storage.list(ground.folder)], "keys left behind")
