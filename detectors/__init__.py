"""Online detectors over arrays: a frame of slots in, signals out.

Numerics only. This package knows no files, no rules and no people, and imports none of the
other packages of the project.
"""
