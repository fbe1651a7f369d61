"""python -m verdelta_agent"""

from .cli import run

run()
