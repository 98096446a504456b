from __future__ import annotations

import pytest

from endpoint.rig.matrix import as_lists, differences, matrix

pytestmark = pytest.mark.unit


def test_equal_matrices_have_no_differences():
    assert differences(matrix({"6001": ["10086"]}), matrix({"6001": ["10086"]})) == []


def test_hearing_too_much_is_as_wrong_as_hearing_nothing():
    wrong = differences(
        matrix({"6001": [], "10086": ["moh"]}),
        matrix({"6001": ["10086"], "10086": []}),
    )

    assert wrong == ["10086 should hear moh and does not", "6001 should not hear 10086 and does"]


def test_a_party_that_was_not_measured_hears_nothing():
    assert differences(matrix({"6001": ["10086"]}), {}) == ["6001 should hear 10086 and does not"]


def test_rows_are_sorted_for_json():
    assert as_lists(matrix({"6001": {"moh", "10086"}})) == {"6001": ["10086", "moh"]}
