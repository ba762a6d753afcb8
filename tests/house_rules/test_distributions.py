"""The wheel, the sdist and the editable wheel hold what an installed lsmproc needs, and nothing else.

Built with hatchling directly, in place and without a network.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def distributions(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, the sdist, and in ``editable`` the editable wheel."""
    folder = tmp_path_factory.mktemp("dist with space")
    _build(root, folder, "build_wheel", "build_sdist")
    _build(root, folder / "editable", "build_editable")
    return folder


def test_the_wheel_holds_every_file_of_the_package_and_no_other(root: Path, distributions: Path) -> None:
    """The real files stand in place of the links, and nothing lands beside the package in site-packages."""
    expected = {f"lsmproc/{name}" for name in _files(root / "lsmproc")}
    assert {"lsmproc/workers/__init__.py", "lsmproc/configs/default.toml", "lsmproc/bench/rounds.py"} <= expected
    assert expected == {name for name in _wheel_names(distributions) if ".dist-info/" not in name}


def test_the_wheel_carries_the_licence_and_the_command(distributions: Path) -> None:
    """What the metadata promises is inside."""
    names = _wheel_names(distributions)
    assert any(re.fullmatch(r"lsmproc-[^/]+\.dist-info/licenses/LICENSE", name) for name in names)
    with zipfile.ZipFile(_only(distributions, "*.whl")) as wheel:
        entry_points = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "lsmproc = lsmproc.cli:main" in wheel.read(entry_points).decode()


def test_profiles_and_workers_are_found_in_an_unpacked_wheel(distributions: Path, tmp_path: Path) -> None:
    """Installing a wheel is unpacking it; the import then has neither the checkout nor its links."""
    with zipfile.ZipFile(_only(distributions, "*.whl")) as wheel:
        wheel.extractall(tmp_path)
    program = (
        "import lsmproc.workers, lsmproc.config as c;"
        "print(lsmproc.workers.__file__); print(c.LSMConfig.from_profile('durable', '/x').wal_sync)"
    )
    # PYTHONPATH comes before site-packages, where an editable install would lead back to the checkout.
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"{tmp_path}/lsmproc/workers/__init__.py\nevery_write\n" == done.stdout


def test_an_editable_install_points_at_the_checkout(root: Path, distributions: Path) -> None:
    """One path file, so that tools see the sources and the links work as in the clone."""
    with zipfile.ZipFile(_only(distributions / "editable", "*.whl")) as wheel:
        (path_file,) = [name for name in wheel.namelist() if name.endswith(".pth")]
        assert str(root) == wheel.read(path_file).decode().strip()


def test_the_sdist_holds_the_whole_project(root: Path, distributions: Path) -> None:
    """Sources, tests and documents, and real files instead of links: a tar of links breaks where links are refused."""
    with tarfile.open(_only(distributions, "*.tar.gz")) as sdist:
        members = sdist.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    folders = ("lsmproc", "workers", "configs", "bench", "tests")
    wanted = {f"{folder}/{name}" for folder in folders for name in _files(root / folder)}
    wanted |= {"pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".ci/run"}
    assert set() == wanted - names
    assert [] == [member.name for member in members if not member.isfile()]


def test_the_sdist_builds_the_same_wheel(distributions: Path, tmp_path: Path) -> None:
    """Who installs from source gets the same files."""
    with tarfile.open(_only(distributions, "*.tar.gz")) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    _build(source, tmp_path / "again", "build_wheel")
    assert _wheel_names(distributions) == _wheel_names(tmp_path / "again")


def _build(source: Path, folder: Path, *hooks: str) -> None:
    folder.mkdir(exist_ok=True)
    program = "import sys, hatchling.build as b; [getattr(b, hook)(sys.argv[1]) for hook in sys.argv[2:]]"
    subprocess.run(
        [sys.executable, "-c", program, str(folder), *hooks], cwd=source, capture_output=True, timeout=60, check=True
    )


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def _wheel_names(folder: Path) -> list[str]:
    with zipfile.ZipFile(_only(folder, "*.whl")) as wheel:
        return sorted(wheel.namelist())


def _files(folder: Path) -> Iterator[str]:
    for top, _, names in os.walk(folder, followlinks=True):
        for name in names:
            if not name.endswith(".pyc"):
                yield Path(top, name).relative_to(folder).as_posix()
