"""HTTP/1.1 under load: connections, requests as bytes, replies with every bound that a hostile one needs."""
