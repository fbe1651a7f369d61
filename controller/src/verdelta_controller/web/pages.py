"""The pages as one thing, for whoever builds the application."""

from . import hosts, login, oidc, rollouts

ROUTERS = (login.router, oidc.router, hosts.router, rollouts.router)
