"""The bus: a port that hub and edge program against, and its NATS adapter."""
