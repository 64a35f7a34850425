"""The tests of qbeat."""
