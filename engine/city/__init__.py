"""From one process to a city: gateway, workers, relays, and the servers between them.

The same shards, rules and alerts as embedded; only the transport differs. What may be decided is
decided in the core, so that nothing here can change an alert.
"""
