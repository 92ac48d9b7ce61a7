"""undertone: a streaming sentiment monitor on Kafka."""

__version__ = "0.1.0"
