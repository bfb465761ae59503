"""What watches the sample: Prometheus, Alertmanager, and a stand-in for Grafana's API."""
