"""Finds every detector of this package: one file each, no list to edit.

A detector becomes known by lying in this package and using :func:`detectors.base.register`. A file
that cannot be loaded is told, and keeps nobody from the others.
"""

import importlib
import pkgutil
import warnings

import detectors
from detectors import base
from detectors.mishaps import BrokenDetectorWarning, told

_SKIP = {"detectors.catalogue", "detectors.base", "detectors.mishaps"}

for _module in pkgutil.walk_packages(detectors.__path__, prefix="detectors."):
    if _module.name in _SKIP:
        continue
    try:
        with base.all_or_nothing():
            importlib.import_module(_module.name)
    except Exception as _error:  # whatever a stranger's file does when it is loaded
        _name = _module.name.removeprefix("detectors.")
        base.BROKEN[_name] = told(_error)
        warnings.warn(
            f"{base.BROKEN[_name]}; the detectors of this file are left out, all others work; "
            "mend the file",
            BrokenDetectorWarning,
            stacklevel=1,
        )
