"""The service: reads the app, keeps time, claims and publishes."""
