"""What every test may ask for."""

pytest_plugins = ["tests.lab.fixtures", "tests.support.postgres"]
