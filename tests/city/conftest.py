"""Real servers for the tests of the city."""

from tests.servers import kafka, mosquitto, pg, redis

__all__ = ["kafka", "mosquitto", "pg", "redis"]
