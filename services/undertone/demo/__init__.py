"""The demo: all services as real processes on a real broker, one stream played through them."""
