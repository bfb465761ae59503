"""The load_scenarios family."""
