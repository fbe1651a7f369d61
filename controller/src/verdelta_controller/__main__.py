"""python -m verdelta_controller"""

from .cli.main import main

main()
