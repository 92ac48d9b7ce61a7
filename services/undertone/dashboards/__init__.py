"""Grafana: the dashboards that are shipped, their pushing, and alerts as annotations."""
