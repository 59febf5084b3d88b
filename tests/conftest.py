"""What holds for every test."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.plugin"]

# The machine is shared: how long one example takes says nothing, and is no reason to fail.
settings.register_profile("mailpact", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mailpact")
