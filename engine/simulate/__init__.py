"""Simulated towns with known incidents, for demos, trials and load."""

from engine.simulate.config import Incident, Rates, SimulationError, TownConfig, load_config
from engine.simulate.files import TownData
from engine.simulate.town import Town

__all__ = [
    "Incident",
    "Rates",
    "SimulationError",
    "Town",
    "TownConfig",
    "TownData",
    "load_config",
]
