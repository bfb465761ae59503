"""The only code that touches a service."""
