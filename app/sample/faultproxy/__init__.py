"""The fault proxy: TCP links that can be cut, silenced, slowed and reset through Toxiproxy's HTTP API."""
