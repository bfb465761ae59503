"""Makes a target from a bare URL: what OpenAPI and usual routes tell, tried once, and marked as guessed."""

from app.discovery.arriving import DiscoveryError, whole_service
from app.discovery.exploring import discover, explore
from app.discovery.found import Discovery
from app.discovery.writing import as_toml

__all__ = ["Discovery", "DiscoveryError", "as_toml", "discover", "explore", "whole_service"]
