"""What the documents say is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("certs/*.md")]
)
RFC_ROW = re.compile(r"^\| \d{4} \|")
ONE_SCREEN = 60


def rows() -> list[list[str]]:
    lines = (REPOSITORY / "docs" / "rfc.md").read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if RFC_ROW.match(line)
    ]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}-{row[1]}-{row[2][:30]}")
def test_a_claim_names_a_test_that_exists(row: list[str]) -> None:
    _, section, claim, side, test = row
    assert section
    assert claim
    assert side in ("accept", "send", "both")
    path, _, name = test.partition("::")
    file = REPOSITORY / "tests" / path
    assert file.is_file(), path
    assert re.search(rf"^\s*(async )?def {re.escape(name)}\(", file.read_text(), re.MULTILINE), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_readme_is_one_screen() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= ONE_SCREEN


def test_the_lock_file_of_the_test_peer_names_no_download_address() -> None:
    lock = json.loads(
        (REPOSITORY / "tests" / "interop" / "jssip" / "package-lock.json").read_text()
    )
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
