"""Finds every detector of this package: one file each, no list to edit.

A detector becomes known by lying in this package and using :func:`detectors.base.register`.
"""

import importlib
import pkgutil

import detectors

_SKIP = {"detectors.catalogue", "detectors.base"}

for _module in pkgutil.walk_packages(detectors.__path__, prefix="detectors."):
    if _module.name not in _SKIP:
        importlib.import_module(_module.name)
