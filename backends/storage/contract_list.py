"""The contract of ``list``: everything under a prefix, in order, by folders, by pieces."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from uploadmill.backends.storage.contract_ground import SMALL, Ground, raises, same, true
from uploadmill.backends.storage.keys import RESERVED
from uploadmill.backends.storage.listing import lists_by_folder
from uploadmill.backends.storage.objects import Folder
from uploadmill.errors import InvalidKey


def list_gives_a_prefix_in_order(ground: Ground) -> None:
    """Every key that starts so, whole folders or half a name, in key order, with its facts."""
    names = ("B", "a", "aa/1", "aa/2/x", "aa/2/y", "ab", "b", "bé", "c/d/e/f")
    for name in sorted(names, reverse=True):
        ground.storage.put(ground.key("list/" + name), name.encode())
    for prefix in ("", "a", "aa", "aa/", "aa/2", "aa/2/", "b", "c/d/", "c/d/e/f", "nothing", "a/"):
        expected = sorted(name for name in names if name.startswith(prefix))
        found = [stat.key for stat in ground.storage.list(ground.key("list/" + prefix))]
        same([ground.key("list/" + name) for name in expected], found, f"list of {prefix!r}")
    for stat in ground.storage.list(ground.key("list/aa/")):
        exact = ground.storage.stat(stat.key)
        same((exact.size, exact.etag), (stat.size, stat.etag), "size and etag in the list")
        true(stat.modified.tzinfo is not None, "times in the list are aware")


def list_and_delete_go_beyond_a_page(ground: Ground) -> None:
    """More objects than any store gives, or takes, at once."""
    keys = [ground.key(f"many/{number:05}") for number in range(ground.many)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: ground.storage.put(key, b""), keys))
    found = [stat.key for stat in ground.storage.list(ground.key("many/"))]
    true(keys == found, f"{ground.many} keys in order; got {len(found)}")
    ground.storage.delete(*keys)
    same([], list(ground.storage.list(ground.key("many/"))), "what is left after deleting all")


def list_refuses_hostile_prefixes(ground: Ground) -> None:
    """A prefix reaches nothing that a key does not reach."""
    for prefix in ("../", "/", "a/../b", "a//b", "nul\0", "half\ud800", f"{RESERVED}/"):
        raises(InvalidKey, lambda p=prefix: list(ground.storage.list(p)), f"list of {prefix!r}")  # type: ignore[misc]


def list_by_folders(ground: Ground) -> None:
    """With a delimiter, what lies deeper is one folder, in its place in the order."""
    storage = ground.storage
    for name in ("a", "b/1", "b/2/x", "c", "d/3"):
        storage.put(ground.key("tree/" + name), SMALL)
    expected = {
        "tree/": ["tree/a", "tree/b/", "tree/c", "tree/d/"],
        "tree/b/": ["tree/b/1", "tree/b/2/"],
        "tree/b": ["tree/b/"],
        "tree/d/": ["tree/d/3"],
        "tree/none/": [],
    }
    for prefix, names in expected.items():
        found = list(storage.list(ground.key(prefix), delimiter="/"))
        same([ground.key(name) for name in names], [each.key for each in found], f"of {prefix!r}")
        folders = [each.key for each in found if isinstance(each, Folder)]
        same([ground.key(name) for name in names if name[-1] == "/"], folders, "the folders of it")


def list_goes_on_where_it_stopped(ground: Ground) -> None:
    """Piece by piece, with any limit, gives the same as all at once; then there is no token."""
    storage = ground.storage
    for number in range(7):
        storage.put(ground.key(f"paged/{number}"), SMALL)
        storage.put(ground.key(f"paged/{number}f/x"), SMALL)
    for delimiter in (None, "/"):
        whole = list(storage.list(ground.key("paged/"), delimiter=delimiter))  # type: ignore[call-overload]
        for limit in (1, 3, 14, 100):
            pieces: list[object] = []
            token = None
            for _ in range(len(whole) + 2):
                piece = storage.list(  # type: ignore[call-overload]
                    ground.key("paged/"), delimiter=delimiter, limit=limit, token=token
                )
                found = list(piece)
                true(len(found) <= limit, f"no more than {limit} entries")
                pieces += found
                token = piece.token
                if token is None:
                    break
            same(None, token, f"token after everything was given, {limit} at a time")
            same(whole, pieces, f"the pieces of {limit}")


#: What sorts beside a folder of the same name: before its slash, or begins like it.
_BESIDE = ("a b", "a-b", "a-c-d/e", "a-c/d", "a-c/d-e", "a.b", "a/b", "a/b-c", "a/c/d", "a0")


def list_gives_each_key_once_beside_folders(ground: Ground) -> None:
    """Whole and by pieces, where names sort before the slash of a folder and begin with its name.

    A store whose server compares folder by folder says so, and has them in another order.
    """
    for name in _BESIDE:
        ground.storage.put(ground.key("beside/" + name), SMALL)
    _same_by_pieces(ground, "beside/", None, sorted(_BESIDE))


def list_gives_each_folder_once_beside_keys(ground: Ground) -> None:
    """The same, where what lies deeper is one folder."""
    for name in _BESIDE:
        ground.storage.put(ground.key("folders/" + name), SMALL)
    level = ["a b", "a-b", "a-c-d/", "a-c/", "a.b", "a/", "a0"]
    _same_by_pieces(ground, "folders/", "/", level)


def _same_by_pieces(ground: Ground, folder: str, delimiter: str | None, names: list[str]) -> None:
    expected = [ground.key(folder + name) for name in names]
    for limit in (None, 1, 2, 3, 5):
        found = _pieces(ground, folder, delimiter, limit)
        if lists_by_folder(ground.storage):
            found.sort()
        same(expected, found, f"the keys, {limit} at a time")


def _pieces(ground: Ground, prefix: str, delimiter: str | None, limit: int | None) -> list[str]:
    """The keys of a list that goes on by tokens to its end, or to where it must have ended."""
    found: list[str] = []
    token = None
    for _ in range(100):
        piece = ground.storage.list(  # type: ignore[call-overload]
            ground.key(prefix), delimiter=delimiter, limit=limit, token=token
        )
        found += [entry.key for entry in piece]
        token = piece.token
        if token is None:
            break
    return found


def list_refuses_what_is_no_token(ground: Ground) -> None:
    """Another text is a mistake of the caller's."""
    ground.storage.put(ground.key("token/a"), SMALL)
    for wrong in ("no token \u00fc", ""):
        listing = partial(ground.storage.list, ground.key("token/"), token=wrong)
        raises(ValueError, lambda listing=listing: list(listing()), f"list from token {wrong!r}")  # type: ignore[misc]
    raises(ValueError, lambda: list(ground.storage.list(limit=0)), "a list of nothing")


def list_of_a_living_folder_ends(ground: Ground) -> None:
    """Objects deleted while they are listed are left out or not; the others are all there."""
    storage = ground.storage
    keys = [ground.key(f"living/{number}") for number in range(6)]
    for key in keys:
        storage.put(key, SMALL)
    found = []
    for stat in storage.list(ground.key("living/")):
        found.append(stat.key)
        storage.delete(stat.key)
    same(keys, found, "the keys, each deleted when it was given")
    same([], list(storage.list(ground.key("living/"))), "what is left")


CHECKS = (
    list_gives_a_prefix_in_order,
    list_and_delete_go_beyond_a_page,
    list_refuses_hostile_prefixes,
    list_by_folders,
    list_goes_on_where_it_stopped,
    list_gives_each_key_once_beside_folders,
    list_gives_each_folder_once_beside_keys,
    list_refuses_what_is_no_token,
    list_of_a_living_folder_ends,
)
