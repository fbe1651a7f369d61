"""What every test may ask for."""

from hypothesis import settings

pytest_plugins = ["tests.lab.fixtures", "tests.support.postgres"]

settings.register_profile("verdelta", deadline=None)  # no test fails because the machine is busy
settings.load_profile("verdelta")
