"""Lets pytest explain the assertions of the suites."""

import pytest

pytest.register_assert_rewrite("roost.testing.milvus_suite")
