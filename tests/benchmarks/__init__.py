"""Measurements that are run by hand or in CI as a smoke test, never collected by pytest."""
