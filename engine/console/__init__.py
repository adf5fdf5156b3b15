"""The console: API, live stream, accounts and rights; the pages are in ``web/``."""
