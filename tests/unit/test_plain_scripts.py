"""What a module is as a plain script, as `make interop-vendor` loads the vendor's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.vendor.phone import as_plain_script, scripts_of

pytestmark = pytest.mark.unit

MODULE = """\
import { A, B } from './AB'
import {
  C,
} from "./C";
import './D'
export var ONE = { "import": "export default" };
export function two() {}
var important = 1;
export default two
export { important };
"""


def test_only_imports_and_exports_are_left_out() -> None:
    lines = [line for line in as_plain_script(MODULE).splitlines() if line]
    assert lines == [
        'var ONE = { "import": "export default" };',
        "function two() {}",
        "var important = 1;",
    ]


def test_scripts_are_found_in_directories_and_by_name(tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    command, phone = tmp_path / "js/SPCommand.js", tmp_path / "WSSoftPhone.js"
    command.write_text("export var A = 1")
    with pytest.raises(FileNotFoundError, match=r"WSSoftPhone\.js is not in"):
        scripts_of(str(tmp_path))
    phone.write_text("var B = 2")
    expected = {"SPCommand.js": "var A = 1", "WSSoftPhone.js": "var B = 2"}
    assert scripts_of(str(tmp_path)) == expected == scripts_of(f"{command} {phone}")
