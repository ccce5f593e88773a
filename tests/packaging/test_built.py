"""What stands in the wheel and in the sdist."""

import tarfile
import zipfile
from pathlib import Path

from checkout import package_files


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_each_file_of_the_packages_and_no_other(built):
    assert package_files() == names_in(built.wheel_of_tree)


def test_the_scripts_of_the_ledger_are_in_the_wheel(built):
    scripts = {name for name in names_in(built.wheel_of_tree) if name.endswith(".lua")}

    assert scripts
    assert all(name.startswith("uploadmill/backends/ledger/lua/") for name in scripts)


def test_the_sdist_makes_the_same_wheel_as_the_tree(built):
    assert names_in(built.wheel_of_tree) == names_in(built.wheel_of_sdist)


def test_the_sdist_holds_files_where_the_tree_has_links(built):
    with tarfile.open(built.sdist) as archive:
        assert [] == [member.name for member in archive if member.issym() or member.islnk()]


def test_the_licence_comes_along(built):
    with zipfile.ZipFile(built.wheel_of_tree) as archive:
        names = archive.namelist()

    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
