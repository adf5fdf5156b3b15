"""One file per version, never edited once released."""
