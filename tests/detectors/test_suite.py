"""Every detector × parameter set × check, and every check against a detector that breaks it."""

import pytest

from tests.detectors import broken
from tests.detectors.cases import Case, cases
from tests.detectors.suite import CHECKS
from tests.detectors.twins import TWINS

CASES = list(cases())


@pytest.mark.parametrize("check", list(CHECKS))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_promise(case: Case, check: str) -> None:
    CHECKS[check](case)


@pytest.mark.parametrize("check", list(CHECKS))
def test_plain_reference_passes(check: str) -> None:
    CHECKS[check](broken.case(broken.Plain))


@pytest.mark.parametrize("check", list(CHECKS))
def test_check_can_fail(check: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[check](broken.case(broken.BROKEN[check]))


def test_only_other_peoples_models_lack_a_twin() -> None:
    found = {c.cls.name for c in CASES if not (TWINS.get(c.cls.name) or getattr(c.cls, "twin", 0))}
    assert all(name.startswith("river:") for name in found), sorted(found)
