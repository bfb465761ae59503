"""The fault proxy: stands before a dependency, and breaks it on purpose through Toxiproxy's HTTP API.

It carries bytes of any protocol over TCP links that can be refused, silenced, slowed and reset. Where they
are HTTP/1.1 it also counts the requests, and can answer them itself with 503.
"""
