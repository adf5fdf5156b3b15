"""The edges: record formats, files, quarantine. Moves data, decides nothing."""
