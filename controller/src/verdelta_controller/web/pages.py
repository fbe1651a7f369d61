"""The pages as one thing, for whoever builds the application."""

from . import hosts, login, rollouts

ROUTERS = (login.router, hosts.router, rollouts.router)
